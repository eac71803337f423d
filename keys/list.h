/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Several values in one line of text, apart by commas or blanks: "10.0.0.0/8, fd00::/8". */
#ifndef MINIVPN_KEYS_LIST_H
#define MINIVPN_KEYS_LIST_H

#include <stdbool.h>
#include <stddef.h>
#include <string.h>

/**
 * list_next() - the next item of a list
 * @cursor:    where to go on; moved behind the item
 * @ret_item:  the item and NUL
 * @item_size: room there; a longer item is cut, which no parser of addresses takes for another
 *             (it ends in "...")
 *
 * Return: false when there is none left
 */
static inline bool list_next(const char **cursor, char *ret_item, size_t item_size)
{
	static const char separators[] = ", \t";
	const char *item = *cursor + strspn(*cursor, separators);
	size_t bytes = strcspn(item, separators);

	*cursor = item + bytes;
	if (bytes == 0)
		return false;
	if (bytes < item_size) {
		memcpy(ret_item, item, bytes);
		ret_item[bytes] = '\0';
	} else {
		memcpy(ret_item, item, item_size - 4);
		memcpy(ret_item + item_size - 4, "...", 4);
	}
	return true;
}

#endif
