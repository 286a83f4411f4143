# Runs one database server for the process that holds the other end of stdin, and outlives that
# process just long enough to clean up: whatever ends it (return, panic, SIGKILL), the pipe closes.
#
# arguments: the directory to work in and to remove at last, the signal that ends the server then
# stdin:     "run COMMAND", "start COMMAND", "signal NAME"
# stdout:    "done STATUS", "started PID", "gone"

home=$1 last_signal=$2 server=
cd "$home" || exit 1

# With nobody left to read a report, writing it must not end this shell before it has cleaned up.
trap '' PIPE
# Told to end by anyone else, stop reading and clean up as well.
trap 'exec </dev/null' HUP INT TERM

while read -r verb rest; do
    case $verb in
    run)
        eval "$rest" </dev/null >>log 2>&1
        echo "done $?"
        ;;
    start)
        # One that was killed lets go of its files a moment before it is gone, and PostgreSQL takes
        # a process that nobody has waited for as one that runs.
        [ -n "$server" ] && wait "$server"
        # Every process of the server holds the fifo open, so its reader comes to the end only when
        # all of them are gone, not merely the first.
        mkfifo alive
        { cat alive && rm alive && echo gone; } &
        eval "exec $rest" 9>alive </dev/null >>log 2>&1 &
        server=$!
        echo "started $server"
        ;;
    signal)
        [ -p alive ] && kill -"$rest" "$server"
        ;;
    esac
done

# Asked again and again, because a server that is just starting still ignores some signals.
tries=0
while [ -p alive ]; do
    tries=$((tries + 1))
    [ "$tries" -gt 50 ] && last_signal=KILL
    kill -"$last_signal" "$server"
    sleep 0.1
done
cd / && rm -rf "$home"
