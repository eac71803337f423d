/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Gives every file of the folders named on the command line to a fuzzer once: with this, and
 * without libFuzzer, the corpus is part of the ordinary tests.
 */
#include "fuzz.h"

#include <dirent.h>
#include <stdio.h>

static void replay_file(const char *path)
{
	static uint8_t input[1 << 20];
	FILE *file = fopen(path, "rb");
	uint8_t *copy;
	size_t n;

	if (!file) {
		perror(path);
		exit(1);
	}
	n = fread(input, 1, sizeof(input), file);
	fclose(file);
	printf("%s\n", path); /* the last line names the culprit */
	fflush(stdout);
	copy = fuzz_copy(input, n);
	LLVMFuzzerTestOneInput(copy, n);
	free(copy);
}

static unsigned replay_folder(const char *folder)
{
	DIR *list = opendir(folder);
	struct dirent *entry;
	char path[4096];
	unsigned files = 0;

	if (!list) {
		perror(folder);
		exit(1);
	}
	while ((entry = readdir(list))) {
		if (entry->d_name[0] == '.')
			continue;
		snprintf(path, sizeof(path), "%s/%s", folder, entry->d_name);
		replay_file(path);
		files++;
	}
	closedir(list);
	return files;
}

int main(int argc, char **argv)
{
	unsigned files = 0;

	for (int i = 1; i < argc; i++)
		files += replay_folder(argv[i]);
	if (files == 0) {
		fprintf(stderr, "no input: name folders with a corpus\n");
		return 2;
	}
	return 0;
}
