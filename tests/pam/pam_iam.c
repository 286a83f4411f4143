/* How PAM comes to the test's verifier.
 *
 * As a module (`auth required pam_iam.so SOCKET`) it hands user and password, of any length, to
 * the program that listens on the Unix socket, and lets in whom that program accepts.
 *
 * Preloaded into a server it makes libpam read its services from the directory that
 * PAM_IAM_SERVICES names instead of /etc/pam.d, so that nothing needs root.
 */
#include <security/pam_appl.h>
#include <security/pam_ext.h>
#include <security/pam_modules.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

int pam_start(const char *service, const char *user, const struct pam_conv *conversation,
              pam_handle_t **pam) {
    return pam_start_confdir(service, user, conversation, getenv("PAM_IAM_SERVICES"), pam);
}

static int is_accepted(const char *path, const char *user, const char *token) {
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    snprintf(address.sun_path, sizeof address.sun_path, "%s", path);
    /* Close-on-exec, since MariaDB's other threads may start programs meanwhile. */
    int verifier = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    char answer = 0;
    int accepted = connect(verifier, (struct sockaddr *)&address, sizeof address) == 0
        && dprintf(verifier, "%s\n%s", user, token) > 0
        && shutdown(verifier, SHUT_WR) == 0
        && read(verifier, &answer, 1) == 1
        && answer == 'y';
    close(verifier);
    return accepted;
}

int pam_sm_authenticate(pam_handle_t *pam, int flags, int argc, const char **argv) {
    const char *user, *token;
    (void)flags;
    if (argc != 1 || pam_get_user(pam, &user, NULL) != PAM_SUCCESS
        || pam_get_authtok(pam, PAM_AUTHTOK, &token, NULL) != PAM_SUCCESS)
        return PAM_AUTHINFO_UNAVAIL;
    return is_accepted(argv[0], user, token) ? PAM_SUCCESS : PAM_AUTH_ERR;
}
