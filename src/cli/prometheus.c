/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "cli/prometheus.h"

#include "cli/say.h"
#include "minivpn/verdict.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* How a member of the status becomes a sample. */
enum reading {
	AS_NUMBER,
	AS_SWITCH,
	AS_POINT_IN_TIME, /* seconds ago; nothing if that never was */
};

static const struct metric {
	const char *name, *type, *help, *member;
	enum reading reading;
} peer_metrics[] = {
	{ "minivpn_peer_up", "gauge", "Whether there is a session to send in.", "up", AS_SWITCH },
	{ "minivpn_peer_receive_bytes_total", "counter",
	  "Bytes of inner packets received from the peer.", "bytes_in", AS_NUMBER },
	{ "minivpn_peer_receive_packets_total", "counter", "Inner packets received from the peer.",
	  "packets_in", AS_NUMBER },
	{ "minivpn_peer_transmit_bytes_total", "counter",
	  "Bytes of inner packets sent to the peer.", "bytes_out", AS_NUMBER },
	{ "minivpn_peer_transmit_packets_total", "counter", "Inner packets sent to the peer.",
	  "packets_out", AS_NUMBER },
	{ "minivpn_peer_handshakes_total", "counter", "Sessions made with the peer.", "handshakes",
	  AS_NUMBER },
	{ "minivpn_peer_mtu_bytes", "gauge",
	  "Largest inner packet that the path to the peer takes.", "inner_mtu", AS_NUMBER },
	{ "minivpn_peer_last_handshake_timestamp_seconds", "gauge",
	  "When the newest session was made.", "last_handshake_s", AS_POINT_IN_TIME },
	{ "minivpn_peer_last_heard_timestamp_seconds", "gauge", "When the peer was last heard.",
	  "last_heard_s", AS_POINT_IN_TIME },
};

static const char *text_of(const json_t *object, const char *member)
{
	const char *text = json_string_value(json_object_get(object, member));

	return text ? text : "";
}

static void head(const char *name, const char *type, const char *help, FILE *out)
{
	fprintf(out, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

enum {
	METRICS = sizeof(peer_metrics) / sizeof(*peer_metrics),
	LABELS_BYTES = 160,
};

/* Names of interfaces and of keys have no character that would have to be escaped. */
static void print_labels(const char *interface, const json_t *peer, char ret_labels[LABELS_BYTES])
{
	snprintf(ret_labels, LABELS_BYTES, "{interface=\"%.15s\",peer=\"%.63s\",key=\"%s\"} ",
		 interface, text_of(peer, "name"),
		 json_is_true(json_object_get(peer, "old_key")) ? "old" : "current");
}

static void peer_sample(const struct metric *metric, const char *labels, const json_t *peer,
			time_t now, FILE *out)
{
	const json_t *value = json_object_get(peer, metric->member);

	if (metric->reading == AS_POINT_IN_TIME && !json_is_number(value))
		return;
	fputs(metric->name, out);
	fputs(labels, out);
	if (metric->reading == AS_POINT_IN_TIME)
		fprintf(out, "%.0f\n", (double)now - json_number_value(value));
	else if (metric->reading == AS_SWITCH)
		fputs(json_is_true(value) ? "1\n" : "0\n", out);
	else
		fprintf(out, "%" JSON_INTEGER_FORMAT "\n", json_integer_value(value));
}

/* All samples of a metric stand together, but a peer is best looked at once: @of has one for each metric. */
static void sample_peers(const json_t *tunnels, FILE *of[METRICS])
{
	time_t now = time(NULL);
	char labels[LABELS_BYTES];

	for (size_t t = 0; t < json_array_size(tunnels); t++) {
		const json_t *tunnel = json_array_get(tunnels, t);
		const json_t *peers = json_object_get(tunnel, "peers");

		for (size_t p = 0; p < json_array_size(peers); p++) {
			const json_t *peer = json_array_get(peers, p);

			print_labels(text_of(tunnel, "interface"), peer, labels);
			for (size_t m = 0; m < METRICS; m++)
				peer_sample(&peer_metrics[m], labels, peer, now, of[m]);
		}
	}
}

static bool print_peers(const json_t *tunnels, FILE *out)
{
	struct {
		char *text;
		size_t bytes;
	} samples[METRICS] = { 0 };
	FILE *of[METRICS] = { 0 };
	bool all = true;

	for (size_t m = 0; m < METRICS; m++)
		all &= (of[m] = open_memstream(&samples[m].text, &samples[m].bytes)) != NULL;
	if (all)
		sample_peers(tunnels, of);
	for (size_t m = 0; m < METRICS; m++) {
		const struct metric *metric = &peer_metrics[m];

		all &= of[m] && fclose(of[m]) == 0;
		head(metric->name, metric->type, metric->help, out);
		fwrite(samples[m].text, 1, samples[m].bytes, out);
		free(samples[m].text);
	}
	if (!all)
		say("out of memory");
	return all;
}

static void print_tunnels(const json_t *tunnels, FILE *out)
{
	head("minivpn_tunnel_info", "gauge", "A tunnel that runs; always 1.", out);
	for (size_t t = 0; t < json_array_size(tunnels); t++) {
		const json_t *tunnel = json_array_get(tunnels, t);

		fprintf(out,
			"minivpn_tunnel_info{interface=\"%s\",role=\"%s\",aead=\"%s\","
			"version=\"%s\"} 1\n",
			text_of(tunnel, "interface"), text_of(tunnel, "role"),
			text_of(tunnel, "aead"), text_of(tunnel, "minivpn"));
	}
	head("minivpn_tunnel_start_time_seconds", "gauge", "When the tunnel was started.", out);
	for (size_t t = 0; t < json_array_size(tunnels); t++) {
		const json_t *tunnel = json_array_get(tunnels, t);

		fprintf(out, "minivpn_tunnel_start_time_seconds{interface=\"%s\"} %.0f\n",
			text_of(tunnel, "interface"),
			(double)time(NULL) -
				json_number_value(json_object_get(tunnel, "running_s")));
	}
}

/* Every cause is there from the beginning, at zero: a rate needs a first value. */
static void print_drops(const json_t *tunnels, FILE *out)
{
	head("minivpn_dropped_packets_total", "counter",
	     "Packets and datagrams that were not passed on, by cause.", out);
	for (size_t t = 0; t < json_array_size(tunnels); t++) {
		const json_t *tunnel = json_array_get(tunnels, t);
		const json_t *counters = json_object_get(tunnel, "verdicts");

		for (int v = VERDICT_NAT_KEEPALIVE + 1; v < VERDICT_COUNT; v++) {
			const char *cause = verdict_name((enum verdict)v);

			fprintf(out,
				"minivpn_dropped_packets_total{interface=\"%s\",cause=\"%s\"} "
				"%" JSON_INTEGER_FORMAT "\n",
				text_of(tunnel, "interface"), cause,
				json_integer_value(json_object_get(counters, cause)));
		}
	}
}

bool prometheus_print(const json_t *tunnels, FILE *out)
{
	bool all;

	print_tunnels(tunnels, out);
	all = print_peers(tunnels, out);
	print_drops(tunnels, out);
	return all;
}
