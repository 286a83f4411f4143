//! Whether a login is tried at all after the server has refused one for good. No I/O.

use std::time::Duration;

use crate::backoff::Backoff;
use crate::clock::Moment;
use crate::error::LoginsSuspended;
use crate::kind::ErrorKind;

/// A circuit breaker: after three logins in a row that were refused with a fresh token too, none is
/// tried for a pause that grows, and then one at a time.
///
/// Trying on would help nobody and do harm: MySQL blocks a host after many failed handshakes, and
/// RDS serves 200 IAM logins a second to everybody together.
#[derive(Debug, Default)]
pub(crate) struct Breaker {
    /// Refusals in a row; 0 while logins are tried freely.
    refusals: u32,
    open: Option<Open>,
}

#[derive(Debug)]
struct Open {
    since: Moment,
    pause: Duration,
    kind: ErrorKind,
    reason: String,
    probing: bool,
}

/// What one connect was let in with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Admission {
    refusals: u32,
    probes: bool,
}

/// RDS refuses a login that it is too busy to check in the same words, and such a one may pass at
/// the next attempt.
const TOLERATED: u32 = 2;

/// The first pause is short, for what somebody is just mending.
const PAUSE: Backoff = Backoff {
    initial: Duration::from_millis(500),
    max: Duration::from_secs(30),
};

impl Breaker {
    /// Lets a connect begin, or tells why not.
    pub(crate) fn admit(&mut self, now: Moment) -> Result<Admission, LoginsSuspended> {
        let mut admission = Admission {
            refusals: self.refusals,
            probes: false,
        };
        if let Some(open) = &mut self.open {
            let wait = open.pause.saturating_sub(now.since(open.since));
            if open.probing || !wait.is_zero() {
                return Err(LoginsSuspended {
                    kind: open.kind,
                    reason: open.reason.clone(),
                    wait,
                });
            }
            open.probing = true;
            admission.probes = true;
        }
        Ok(admission)
    }

    /// The server refused the login for good. Returns the pause, where one begins: a crowd that was
    /// let in together begins one.
    ///
    /// `random` is in `0.0..1.0`.
    pub(crate) fn refused(
        &mut self,
        admission: Admission,
        now: Moment,
        random: f64,
        kind: ErrorKind,
        reason: String,
    ) -> Option<Duration> {
        if admission.refusals != self.refusals {
            return None;
        }
        self.refusals += 1;
        let intolerable = self
            .refusals
            .checked_sub(TOLERATED)
            .filter(|&count| count > 0)?;
        // Never short, since there is no crowd to spread: only one will probe.
        let pause = PAUSE.delay(intolerable, 0.5 + random / 2.0);
        self.open = Some(Open {
            since: now,
            pause,
            kind,
            reason,
            probing: false,
        });
        Some(pause)
    }

    /// The server let somebody in, or fails in another way than by refusing. Returns whether logins
    /// were suspended.
    pub(crate) fn passed(&mut self) -> bool {
        self.refusals = 0;
        self.open.take().is_some()
    }

    /// The connect was given up before its end.
    pub(crate) fn cancelled(&mut self, admission: Admission) {
        if admission.probes
            && admission.refusals == self.refusals
            && let Some(open) = &mut self.open
        {
            open.probing = false;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use super::*;
    use crate::clock::Clock;

    fn refuse(breaker: &mut Breaker, admission: Admission, now: Moment) -> Option<Duration> {
        breaker.refused(admission, now, 1.0, ErrorKind::Refused, "no".to_owned())
    }

    /// One that has borne all it tolerates.
    fn tried(now: Moment) -> Breaker {
        let mut breaker = Breaker::default();
        for _ in 0..TOLERATED {
            let admission = breaker.admit(now).unwrap();
            assert_eq!(refuse(&mut breaker, admission, now), None);
        }
        breaker
    }

    #[test]
    fn a_crowd_that_is_refused_begins_one_pause() {
        let now = Clock::system().now();
        let mut breaker = tried(now);
        let crowd = [(); 8].map(|()| breaker.admit(now).unwrap());
        let pauses = crowd.map(|one| refuse(&mut breaker, one, now));
        assert_eq!(pauses.iter().flatten().count(), 1);
        let suspended = breaker.admit(now).unwrap_err();
        assert_eq!(suspended.wait, Duration::from_millis(500));
    }

    #[test]
    fn after_the_pause_one_probes_and_the_pause_doubles() {
        let clock = Clock::manual(SystemTime::UNIX_EPOCH);
        let mut breaker = tried(clock.now());
        let mut pauses = Vec::new();
        for _ in 0..9 {
            let probe = breaker.admit(clock.now()).unwrap();
            let crowded = breaker.admit(clock.now()).is_err();
            assert_eq!(crowded, !pauses.is_empty());
            let pause = refuse(&mut breaker, probe, clock.now()).unwrap();
            pauses.push(pause.as_millis());
            clock.advance(pause);
        }
        let expected = [
            500, 1_000, 2_000, 4_000, 8_000, 16_000, 30_000, 30_000, 30_000,
        ];
        assert_eq!(pauses, expected);
        assert!(breaker.admit(clock.now()).is_ok());
        assert!(breaker.passed());
        assert!(!breaker.passed());
        assert!(breaker.admit(clock.now()).is_ok() && breaker.admit(clock.now()).is_ok());
    }

    #[test]
    fn a_probe_that_is_given_up_leaves_the_place_to_the_next() {
        let clock = Clock::manual(SystemTime::UNIX_EPOCH);
        let mut breaker = tried(clock.now());
        let first = breaker.admit(clock.now()).unwrap();
        refuse(&mut breaker, first, clock.now());
        clock.freeze(Duration::from_secs(60));
        let probe = breaker.admit(clock.now()).unwrap();
        breaker.cancelled(first);
        assert!(breaker.admit(clock.now()).is_err());
        breaker.cancelled(probe);
        assert!(breaker.admit(clock.now()).is_ok());
    }
}
