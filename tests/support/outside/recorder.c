/* Writes down every look-up of a name and every connection outside of loopback that a process makes,
 * also from native code: loaded into all children of the tests by LD_PRELOAD.
 *
 *     cc -shared -fPIC -DLOG='"/path"' -o recorder.so recorder.c
 *
 * A line: what, name or address, port, program. libc's own look-ups do not pass through `connect`
 * here, so the functions that look up are wrapped as well. What is addressed to port 53, also on
 * loopback, is a look-up: many machines have a resolver there.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

static void note(const char *what, const char *name, int port)
{
    int before = errno;
    char line[512];
    int size = snprintf(line, sizeof line, "%s\t%.300s\t%d\t%s\n", what, name, port,
                        program_invocation_short_name);
    int log = open(LOG, O_WRONLY | O_APPEND | O_CLOEXEC);
    if (log >= 0) {
        ssize_t written = write(log, line, (size_t)size);
        (void)written;
        close(log);
    }
    errno = before;
}

static int on_loopback(const struct in6_addr *address)
{
    if (IN6_IS_ADDR_V4MAPPED(address))
        return address->s6_addr[12] == 127 || address->s6_addr[12] == 0;
    return IN6_IS_ADDR_LOOPBACK(address) || IN6_IS_ADDR_UNSPECIFIED(address);
}

static void note_address(const char *what, const struct sockaddr *address)
{
    char text[INET6_ADDRSTRLEN] = "";
    int port = 0, local = 1;
    if (address == NULL)
        return;
    if (address->sa_family == AF_INET) {
        const struct sockaddr_in *in = (const struct sockaddr_in *)address;
        unsigned first = ntohl(in->sin_addr.s_addr) >> 24;
        local = first == 127 || first == 0;
        port = ntohs(in->sin_port);
        inet_ntop(AF_INET, &in->sin_addr, text, sizeof text);
    } else if (address->sa_family == AF_INET6) {
        const struct sockaddr_in6 *in = (const struct sockaddr_in6 *)address;
        local = on_loopback(&in->sin6_addr);
        port = ntohs(in->sin6_port);
        inet_ntop(AF_INET6, &in->sin6_addr, text, sizeof text);
    } else if (address->sa_family == AF_UNIX) {
        const char *path = ((const struct sockaddr_un *)address)->sun_path;
        if (strstr(path, "systemd/resolve") != NULL)
            note("look-up", path, 0);
        return;
    } else {
        return;
    }
    if (!local || port == 53)
        note(what, text, port);
}

/* A path is no name: MongoDB asks for its socket that way. */
static void note_name(const char *name)
{
    unsigned char numeric[sizeof(struct in6_addr)];
    char own[256] = "";
    gethostname(own, sizeof own - 1);
    if (name == NULL || *name == '\0' || *name == '/' || strcasecmp(name, own) == 0 ||
        strcasecmp(name, "localhost") == 0 || inet_pton(AF_INET, name, numeric) == 1 ||
        inet_pton(AF_INET6, name, numeric) == 1)
        return;
    note("look-up", name, 0);
}

int connect(int socket, const struct sockaddr *address, socklen_t size)
{
    note_address("connect", address);
    return REAL(connect)(socket, address, size);
}

ssize_t sendto(int socket, const void *data, size_t bytes, int flags,
               const struct sockaddr *address, socklen_t size)
{
    note_address("send", address);
    return REAL(sendto)(socket, data, bytes, flags, address, size);
}

ssize_t sendmsg(int socket, const struct msghdr *message, int flags)
{
    note_address("send", message->msg_name);
    return REAL(sendmsg)(socket, message, flags);
}

int sendmmsg(int socket, struct mmsghdr *messages, unsigned count, int flags)
{
    for (unsigned number = 0; number < count; number++)
        note_address("send", messages[number].msg_hdr.msg_name);
    return REAL(sendmmsg)(socket, messages, count, flags);
}

int getaddrinfo(const char *name, const char *service, const struct addrinfo *hints,
                struct addrinfo **result)
{
    if (hints == NULL || !(hints->ai_flags & AI_NUMERICHOST))
        note_name(name);
    return REAL(getaddrinfo)(name, service, hints, result);
}

struct hostent *gethostbyname(const char *name)
{
    note_name(name);
    return REAL(gethostbyname)(name);
}

struct hostent *gethostbyname2(const char *name, int family)
{
    note_name(name);
    return REAL(gethostbyname2)(name, family);
}

int gethostbyname_r(const char *name, struct hostent *entry, char *buffer, size_t size,
                    struct hostent **result, int *error)
{
    note_name(name);
    return REAL(gethostbyname_r)(name, entry, buffer, size, result, error);
}
