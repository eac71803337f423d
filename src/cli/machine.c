/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "cli/machine.h"

#include "host/far.h"
#include "host/rtnl.h"
#include "scope.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <string.h>
#include <sys/socket.h>

/* ---- Addresses and routes ---- */

static bool is_in_any(const struct address *a, const char *const *networks, size_t count)
{
	struct prefix p;

	for (size_t i = 0; i < count; i++)
		if (prefix_parse(networks[i], &p) && prefix_contains(&p, a))
			return true;
	return false;
}

bool machine_address_is_private(const struct address *a)
{
	/* RFC 1918, RFC 6598, RFC 3927, RFC 4193, RFC 4291 */
	static const char *const networks[] = { "10.0.0.0/8",    "172.16.0.0/12",  "192.168.0.0/16",
						"100.64.0.0/10", "169.254.0.0/16", "fc00::/7",
						"fe80::/10" };

	return is_in_any(a, networks, sizeof(networks) / sizeof(*networks));
}

static bool is_local_only(const struct address *a)
{
	static const char *const networks[] = { "127.0.0.0/8", "169.254.0.0/16", "::1/128",
						"fe80::/10" };

	return is_in_any(a, networks, sizeof(networks) / sizeof(*networks));
}

static void keep_first_usable(void *context, const char *interface, const struct prefix *address)
{
	struct address *found = context;

	(void)interface;
	if (!is_local_only(&address->address) &&
	    (address_is_none(found) ||
	     (!address_is_ipv4(found) && address_is_ipv4(&address->address))))
		*found = address->address;
}

bool machine_address(struct address *ret_address)
{
	struct address found = { { 0 } }, destination;
	struct route_answer answer;
	scoped_fd fd = -1;

	if (rtnl_open(&fd) < 0)
		return false;
	for (int ipv4 = 1; ipv4 >= 0 && address_is_none(&found); ipv4--) {
		destination = far_address(ipv4, 1);
		if (rtnl_lookup(fd, &destination, 0, &answer) == 0 &&
		    !is_local_only(&answer.source))
			found = answer.source;
	}
	if (address_is_none(&found))
		rtnl_addresses(fd, keep_first_usable, &found);
	if (address_is_none(&found))
		return false;
	*ret_address = found;
	return true;
}

/* The name servers of a file in the manner of resolv.conf(5). */
static unsigned read_resolvers(const char *path, struct address *ret_servers, unsigned most)
{
	scoped_file file = fopen(path, "re");
	char line[256], text[64];
	struct address server;
	unsigned count = 0;

	while (file && count < most && fgets(line, sizeof(line), file))
		if (sscanf(line, " nameserver %63s", text) == 1 && address_parse(text, &server) &&
		    !address_is_none(&server) && !is_local_only(&server))
			ret_servers[count++] = server;
	return count;
}

unsigned machine_resolvers(struct address *ret_servers, unsigned most)
{
	unsigned count = read_resolvers("/etc/resolv.conf", ret_servers, most);

	if (count > 0)
		return count;
	return read_resolvers("/run/systemd/resolve/resolv.conf", ret_servers, most);
}

struct overlap_search {
	const struct prefix *network;
	const char *except;
	struct machine_overlap *found;
	bool any;
};

static void look_at_route(void *context, const char *interface, const struct prefix *network)
{
	struct overlap_search *search = context;

	if (search->any || network->length == 0 || strcmp(interface, search->except) == 0)
		return;
	if (!prefix_contains(network, &search->network->address) &&
	    !prefix_contains(search->network, &network->address))
		return;
	search->found->network = *network;
	snprintf(search->found->interface, sizeof(search->found->interface), "%s", interface);
	search->any = true;
}

bool machine_overlap(const struct prefix *network, const char *except,
		     struct machine_overlap *ret_overlap)
{
	struct machine_overlap found;
	struct overlap_search search = { network, except, &found, false };
	scoped_fd fd = -1;

	if (rtnl_open(&fd) < 0 || rtnl_routes(fd, look_at_route, &search) < 0 || !search.any)
		return false;
	*ret_overlap = found;
	return true;
}

/* ---- Who has a port ---- */

static int try_bind(int family, const struct address *local, uint16_t port)
{
	scoped_fd fd = socket(family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	struct sockaddr_in6 ipv6 = { .sin6_family = AF_INET6, .sin6_port = htons(port) };
	struct sockaddr_in ipv4 = { .sin_family = AF_INET, .sin_port = htons(port) };
	int off = 0, r;

	if (fd < 0)
		return -errno;
	if (family == AF_INET) {
		if (!address_is_none(local))
			memcpy(&ipv4.sin_addr, local->b + 12, 4);
		r = bind(fd, (struct sockaddr *)&ipv4, sizeof(ipv4));
	} else {
		memcpy(&ipv6.sin6_addr, local->b, 16);
		setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof(off));
		r = bind(fd, (struct sockaddr *)&ipv6, sizeof(ipv6));
	}
	return r < 0 ? -errno : 0;
}

int machine_try_port(const struct address *local, uint16_t port)
{
	int r;

	if (!address_is_none(local))
		return try_bind(address_is_ipv4(local) ? AF_INET : AF_INET6, local, port);
	r = try_bind(AF_INET6, local, port);
	/* Without IPv6 in the kernel there is IPv4 to try. */
	return r == 0 || r == -EADDRINUSE ? r : try_bind(AF_INET, local, port);
}

/* The inode of a UDP socket on @port, from the kernel's list (proc(5)); 0 if there is none. */
static unsigned long inode_of_port(const char *list, uint16_t port)
{
	scoped_file file = fopen(list, "re");
	unsigned long inode;
	unsigned found;
	char line[512];

	while (file && fgets(line, sizeof(line), file))
		if (sscanf(line, " %*d: %*[0-9A-Fa-f]:%x %*s %*s %*s %*s %*s %*s %*s %lu", &found,
			   &inode) == 2 &&
		    found == port)
			return inode;
	return 0;
}

static bool has_socket(const char *process, unsigned long inode)
{
	char path[PATH_MAX], wanted[64], target[64];
	struct dirent *entry;
	DIR *folder;
	ssize_t n;
	bool found = false;

	snprintf(path, sizeof(path), "/proc/%s/fd", process);
	snprintf(wanted, sizeof(wanted), "socket:[%lu]", inode);
	folder = opendir(path);
	while (folder && !found && (entry = readdir(folder))) {
		n = readlinkat(dirfd(folder), entry->d_name, target, sizeof(target) - 1);
		target[n > 0 ? n : 0] = '\0';
		found = strcmp(target, wanted) == 0;
	}
	if (folder)
		closedir(folder);
	return found;
}

static void describe_process(const char *process, char ret_holder[MACHINE_HOLDER_BYTES])
{
	char path[PATH_MAX], name[32] = "?";
	scoped_file file = NULL;

	snprintf(path, sizeof(path), "/proc/%s/comm", process);
	file = fopen(path, "re");
	if (file && fgets(name, sizeof(name), file))
		name[strcspn(name, "\n")] = '\0';
	snprintf(ret_holder, MACHINE_HOLDER_BYTES, "%s (process %.12s)", name, process);
}

bool machine_port_holder(uint16_t port, char ret_holder[MACHINE_HOLDER_BYTES])
{
	unsigned long inode = inode_of_port("/proc/net/udp6", port);
	struct dirent *entry;
	bool found = false;
	DIR *processes;

	if (!inode)
		inode = inode_of_port("/proc/net/udp", port);
	processes = inode ? opendir("/proc") : NULL;
	while (processes && !found && (entry = readdir(processes))) {
		if (*entry->d_name < '0' || *entry->d_name > '9')
			continue;
		found = has_socket(entry->d_name, inode);
		if (found)
			describe_process(entry->d_name, ret_holder);
	}
	if (processes)
		closedir(processes);
	return found;
}
