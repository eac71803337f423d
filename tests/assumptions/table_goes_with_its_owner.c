/* SPDX-License-Identifier: GPL-2.0-or-later */
/* An nftables table with the owner flag can be changed by nobody else, and the kernel takes it away
 * when the netlink socket of its owner closes (host/nft.c). */
#include "assume.h"

#include <libmnl/libmnl.h>
#include <libnftnl/common.h>
#include <libnftnl/table.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>

#ifndef NFT_TABLE_F_OWNER
#define NFT_TABLE_F_OWNER 0x2
#endif

/* One request about the table "mine" in a batch of its own: 0, or the errno of the answer. */
static int request(struct mnl_socket *socket, uint16_t type, uint16_t flags, uint32_t table_flags)
{
	char room[4096];
	struct mnl_nlmsg_batch *batch = mnl_nlmsg_batch_start(room, sizeof(room));
	struct nftnl_table *table = nftnl_table_alloc();
	struct nlmsghdr *message;
	ssize_t n;

	must(table);
	nftnl_table_set_str(table, NFTNL_TABLE_NAME, "mine");
	if (table_flags)
		nftnl_table_set_u32(table, NFTNL_TABLE_FLAGS, table_flags);
	nftnl_batch_begin(mnl_nlmsg_batch_current(batch), 1);
	mnl_nlmsg_batch_next(batch);
	message = nftnl_nlmsg_build_hdr(mnl_nlmsg_batch_current(batch), type, NFPROTO_INET,
					(uint16_t)(NLM_F_ACK | flags), 2);
	nftnl_table_nlmsg_build_payload(message, table);
	mnl_nlmsg_batch_next(batch);
	nftnl_batch_end(mnl_nlmsg_batch_current(batch), 3);
	mnl_nlmsg_batch_next(batch);
	must(mnl_socket_sendto(socket, mnl_nlmsg_batch_head(batch), mnl_nlmsg_batch_size(batch)) >
	     0);
	mnl_nlmsg_batch_stop(batch);
	nftnl_table_free(table);
	n = mnl_socket_recvfrom(socket, room, sizeof(room));
	return n > 0 && mnl_cb_run(room, (size_t)n, 2, mnl_socket_get_portid(socket), NULL, NULL) >=
				       0
		       ? 0
		       : errno;
}

static struct mnl_socket *open_netlink(void)
{
	struct mnl_socket *socket = mnl_socket_open(NETLINK_NETFILTER);

	must(socket && mnl_socket_bind(socket, 0, MNL_SOCKET_AUTOPID) == 0);
	return socket;
}

int main(void)
{
	struct mnl_socket *owner, *other;
	int error;

	own_namespace();
	owner = open_netlink();
	other = open_netlink();
	error = request(owner, NFT_MSG_NEWTABLE, NLM_F_CREATE | NLM_F_EXCL, NFT_TABLE_F_OWNER);
	errno = error;
	if (error == EOPNOTSUPP || error == EINVAL || error == ENOENT)
		skip("needs nf_tables with owned tables, Linux 5.12");
	assume(error == 0, "a table can have an owner");
	assume(request(other, NFT_MSG_DELTABLE, 0, 0) == EPERM, "nobody else may delete it");
	mnl_socket_close(owner);
	for (int i = 0; i < 200; i++) { /* it goes in the background, but soon */
		error = request(other, NFT_MSG_NEWTABLE, NLM_F_CREATE | NLM_F_EXCL, 0);
		if (error == 0)
			break;
		usleep(10000);
	}
	assume(error == 0, "it is gone when its owner's socket is closed, and the name is free");
	mnl_socket_close(other);
	return 0;
}
