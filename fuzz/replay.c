/*
 * Runs a fuzz target over files instead of libFuzzer: its corpus as a test of every flavour.
 *
 * Arguments are files or folders (one level). A failing input is the last name printed.
 */
#include <dirent.h>
#include <err.h>
#include <limits.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void replay_file(const char *path, size_t size)
{
	uint8_t *data = malloc(size ? size : 1);
	FILE *file = fopen(path, "rb");

	if (!data || !file)
		err(1, "%s", path);
	if (fread(data, 1, size, file) != size)
		err(1, "read '%s'", path);
	(void)fclose(file);
	(void)fprintf(stderr, "%s\n", path);
	(void)LLVMFuzzerTestOneInput(data, size);
	free(data);
}

static void replay_folder(const char *folder)
{
	DIR *dir = opendir(folder);
	struct dirent *entry;
	struct stat st;
	char path[PATH_MAX];

	if (!dir)
		err(1, "%s", folder);
	while ((entry = readdir(dir))) {
		(void)snprintf(path, sizeof path, "%s/%s", folder, entry->d_name);
		if (stat(path, &st) == 0 && S_ISREG(st.st_mode))
			replay_file(path, (size_t)st.st_size);
	}
	(void)closedir(dir);
}

int main(int argc, char **argv)
{
	struct stat st;

	for (int i = 1; i < argc; i++) {
		if (stat(argv[i], &st) < 0)
			err(1, "%s", argv[i]);
		if (S_ISDIR(st.st_mode))
			replay_folder(argv[i]);
		else
			replay_file(argv[i], (size_t)st.st_size);
	}
	return 0;
}
