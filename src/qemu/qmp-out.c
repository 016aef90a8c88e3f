/*
 * qemu/qmp-out.c - commands on their way to QEMU
 */
#include "qemu/qmp-out.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>

static void outgoing_done(QmpOutgoing *one)
{
        explicit_bzero(one->text, one->len);
        free(one->text);
        fd_close(&one->fd);
}

void qmp_out_put(QmpOut *out, uint64_t id, char *text, int fd)
{
        QmpOutgoing one = { .id = id, .text = text, .len = strlen(text), .fd = -1 };

        if (fd >= 0)
                one.fd = fcntl(fd, F_DUPFD_CLOEXEC, 0);
        vec_push(&out->list, one);
}

bool qmp_out_take_back(QmpOut *out, uint64_t id)
{
        for (size_t i = 0; i < out->list.len; i++) {
                if (out->list.items[i].id != id || out->list.items[i].sent)
                        continue;
                outgoing_done(&out->list.items[i]);
                vec_remove(&out->list, i);
                return true;
        }
        return false;
}

static ssize_t send_some(int socket, const QmpOutgoing *one)
{
        struct iovec piece = { .iov_base = one->text + one->sent, .iov_len = one->len - one->sent };
        union {
                struct cmsghdr align;
                char bytes[CMSG_SPACE(sizeof(int))];
        } control = { 0 };
        struct msghdr msg = { .msg_iov = &piece, .msg_iovlen = 1 };

        if (one->fd >= 0 && one->sent == 0) {
                struct cmsghdr *cmsg;

                msg.msg_control = control.bytes;
                msg.msg_controllen = sizeof(control.bytes);
                cmsg = CMSG_FIRSTHDR(&msg);
                cmsg->cmsg_level = SOL_SOCKET;
                cmsg->cmsg_type = SCM_RIGHTS;
                cmsg->cmsg_len = CMSG_LEN(sizeof(int));
                memcpy(CMSG_DATA(cmsg), &one->fd, sizeof(int));
        }
        return sendmsg(socket, &msg, MSG_NOSIGNAL | MSG_DONTWAIT);
}

void qmp_out_flush(QmpOut *out, int socket)
{
        while (out->list.len > 0) {
                QmpOutgoing *one = &out->list.items[0];
                ssize_t n = send_some(socket, one);

                if (n < 0 && errno == EINTR)
                        continue;
                if (n < 0)
                        return;
                one->sent += (size_t)n;
                if (one->sent < one->len)
                        continue;
                outgoing_done(one);
                vec_remove(&out->list, 0);
        }
}

void qmp_out_clear(QmpOut *out)
{
        for (size_t i = 0; i < out->list.len; i++)
                outgoing_done(&out->list.items[i]);
        vec_done(&out->list);
}
