/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * libsystemd is loaded when it is wanted, which is once in a lifetime: a tunnel that runs does not
 * carry it, nor what comes with it.
 */
#include "cli/systemd.h"

#include <dlfcn.h>
#include <errno.h>
#include <stddef.h>
#include <string.h>
#include <unistd.h>

struct sd_bus;

/* As sd-bus.h declares them. */
struct bus_library {
	void *handle;
	int (*open_system)(struct sd_bus **ret);
	int (*call_method)(struct sd_bus *bus, const char *destination, const char *path,
			   const char *interface, const char *member, void *error, void **reply,
			   const char *types, ...);
	struct sd_bus *(*unref)(struct sd_bus *bus);
};

bool systemd_runs(void)
{
	return access("/run/systemd/system", F_OK) == 0; /* sd_booted(3) */
}

/* A pointer to a function, by way of memory: ISO C has no conversion from an object's. */
static void find(void *library, const char *name, void *ret_function)
{
	void *symbol = dlsym(library, name);

	memcpy(ret_function, &symbol, sizeof(symbol));
}

static int load(struct bus_library *bus)
{
	bus->handle = dlopen("libsystemd.so.0", RTLD_NOW | RTLD_LOCAL);
	if (!bus->handle)
		return -ENOPKG;
	find(bus->handle, "sd_bus_open_system", &bus->open_system);
	find(bus->handle, "sd_bus_call_method", &bus->call_method);
	find(bus->handle, "sd_bus_unref", &bus->unref);
	return bus->open_system && bus->call_method && bus->unref ? 0 : -ENOPKG;
}

/* Calls a method of systemd's manager: without arguments, or with a unit and the mode "replace". */
static int call(const char *method, const char *unit)
{
	static const char destination[] = "org.freedesktop.systemd1",
			  path[] = "/org/freedesktop/systemd1",
			  interface[] = "org.freedesktop.systemd1.Manager";
	struct bus_library bus = { 0 };
	struct sd_bus *connection = NULL;
	int r = load(&bus);

	if (r == 0)
		r = bus.open_system(&connection);
	if (r >= 0 && unit)
		r = bus.call_method(connection, destination, path, interface, method, NULL, NULL,
				    "ss", unit, "replace");
	else if (r >= 0)
		r = bus.call_method(connection, destination, path, interface, method, NULL, NULL,
				    "");
	if (connection)
		bus.unref(connection);
	if (bus.handle)
		dlclose(bus.handle);
	return r < 0 ? r : 0;
}

int systemd_reload(void)
{
	return call("Reload", NULL);
}

int systemd_start_unit(const char *unit)
{
	return call("RestartUnit", unit);
}

int systemd_stop_unit(const char *unit)
{
	return call("StopUnit", unit);
}
