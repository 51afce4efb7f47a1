// The bench's own program on the router, for MIPS32 and static: what has to be measured or started there.
//
//   agent files PORT                     answers a datagram that names a file with what is in it (/proc/PID/schedstat)
//   agent echo PORT                      the bare TCP exchange: accept, read once, write the same back, close
//   agent start HOST PORT PROGRAM ARG... says so with a datagram to HOST:PORT that holds its process id, and becomes the
//                                        program
//   agent transact FILE                  the bare netlink transactions: each batch of the file (a length of 4 bytes
//                                        before each, in the machine's order) is sent and its answers are read up to
//                                        the acknowledgement of the message with the sequence number 2; prints for
//                                        each the CPU nanoseconds that it took
//
// Trusted input only: it runs on the emulated router, between the bench's own namespaces.

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/netlink.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define LAST 2 // the sequence number that the back end gives to the message it waits for (firewall/nft.py)

static _Noreturn void give_up(const char *what) {
    perror(what);
    exit(1);
}

static int bound(int kind, const char *port) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(atoi(port))};
    int sock = socket(AF_INET, kind, 0), yes = 1;
    setsockopt(sock, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof(yes));
    if (bind(sock, (struct sockaddr *)&address, sizeof(address))) {
        give_up("bind");
    }
    return sock;
}

static _Noreturn void files(const char *port) {
    int sock = bound(SOCK_DGRAM, port);
    static char data[65000]; // the probe's table is the longest
    for (;;) {
        struct sockaddr_in peer;
        socklen_t size = sizeof(peer);
        ssize_t length = recvfrom(sock, data, sizeof(data) - 1, 0, (struct sockaddr *)&peer, &size);
        if (length < 0) {
            give_up("recvfrom");
        }
        data[length] = 0;
        int file = open(data, O_RDONLY);
        ssize_t part = 0;
        length = 0;
        while (file >= 0 && length < (ssize_t)sizeof(data) &&
               (part = read(file, data + length, sizeof(data) - length)) > 0) {
            length += part;
        }
        close(file);
        sendto(sock, data, length, 0, (struct sockaddr *)&peer, size);
    }
}

static _Noreturn void echo(const char *port) {
    int sock = bound(SOCK_STREAM, port);
    static char data[8192];
    listen(sock, 16);
    for (;;) {
        int link = accept(sock, NULL, NULL);
        ssize_t length = read(link, data, sizeof(data));
        if (length > 0 && write(link, data, length) != length) {
            give_up("write");
        }
        close(link);
    }
}

static _Noreturn void start(char **words) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(atoi(words[1]))};
    inet_pton(AF_INET, words[0], &address.sin_addr);
    int sock = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    char mark[16];
    int length = snprintf(mark, sizeof(mark), "%d", (int)getpid());
    sendto(sock, mark, length, 0, (struct sockaddr *)&address, sizeof(address));
    execv(words[2], words + 2);
    give_up(words[2]);
}

static long long cpu(void) {
    struct timespec now;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
    return now.tv_sec * 1000000000LL + now.tv_nsec;
}

// Read answers until the last message's acknowledgement or an error; return its errno.
static int answer(int sock) {
    static char data[8192];
    for (;;) {
        ssize_t length = recv(sock, data, sizeof(data), 0);
        if (length < 0) {
            give_up("recv");
        }
        for (struct nlmsghdr *one = (void *)data; NLMSG_OK(one, length); one = NLMSG_NEXT(one, length)) {
            if (one->nlmsg_type == NLMSG_ERROR) {
                int error = ((struct nlmsgerr *)NLMSG_DATA(one))->error;
                if (error || one->nlmsg_seq == LAST) {
                    return -error;
                }
            }
        }
    }
}

static int transact(const char *path) {
    int sock = socket(AF_NETLINK, SOCK_RAW, NETLINK_NETFILTER), file = open(path, O_RDONLY);
    unsigned length;
    static char data[8192];
    if (sock < 0 || file < 0) {
        give_up(path);
    }
    struct sockaddr_nl kernel = {.nl_family = AF_NETLINK};
    bind(sock, (struct sockaddr *)&kernel, sizeof(kernel));
    while (read(file, &length, 4) == 4) {
        if (length > sizeof(data) || read(file, data, length) != (ssize_t)length) {
            give_up("the file of batches");
        }
        long long before = cpu();
        if (sendto(sock, data, length, 0, (struct sockaddr *)&kernel, sizeof(kernel)) < 0) {
            give_up("sendto");
        }
        int error = answer(sock);
        long long after = cpu();
        if (error) {
            errno = error;
            give_up("the kernel's answer");
        }
        printf("%lld\n", after - before);
    }
    return 0;
}

int main(int count, char **words) {
    signal(SIGPIPE, SIG_IGN);
    if (count == 3 && !strcmp(words[1], "files")) {
        files(words[2]);
    } else if (count == 3 && !strcmp(words[1], "echo")) {
        echo(words[2]);
    } else if (count == 3 && !strcmp(words[1], "transact")) {
        return transact(words[2]);
    } else if (count >= 5 && !strcmp(words[1], "start")) {
        start(words + 2);
    }
    fprintf(stderr, "usage: see the head of agent.c\n");
    return 2;
}
