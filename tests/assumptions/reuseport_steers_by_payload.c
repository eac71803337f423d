/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Sockets that share a port by SO_REUSEPORT can have a classic BPF program choose among them by the
 * payload: so each worker is to get the SPIs that are its own. */
#include "assume.h"

#include <linux/filter.h>

enum { WORKERS = 4 };

int main(void)
{
	/* the low bits of the first word; offset 0 is where the UDP payload begins */
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, 0),
		BPF_STMT(BPF_ALU | BPF_AND | BPF_K, WORKERS - 1),
		BPF_STMT(BPF_RET | BPF_A, 0),
	};
	struct sock_fprog program = { sizeof(code) / sizeof(*code), code };
	struct sockaddr_in at = { .sin_family = AF_INET,
				  .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	int worker[WORKERS], from;
	socklen_t n = sizeof(at);

	own_namespace();
	from = socket(AF_INET, SOCK_DGRAM, 0);
	for (int i = 0; i < WORKERS; i++) {
		worker[i] = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK, 0);
		must(set_int(worker[i], SOL_SOCKET, SO_REUSEPORT, 1));
		must(bind(worker[i], (struct sockaddr *)&at, n) == 0);
		must(getsockname(worker[i], (struct sockaddr *)&at, &n) == 0);
	}
	assume(setsockopt(worker[0], SOL_SOCKET, SO_ATTACH_REUSEPORT_CBPF, &program,
			  sizeof(program)) == 0,
	       "a classic program can be attached, for all");
	for (uint32_t spi = 0x100; spi < 0x120; spi++) {
		uint32_t word = htonl(spi), got;

		must(sendto(from, &word, sizeof(word), 0, (struct sockaddr *)&at, n) == 4);
		assume(recv(worker[spi % WORKERS], &got, sizeof(got), 0) == 4 && got == word,
		       "the low bits of the SPI name the socket, in the order of binding");
	}
	return 0;
}
