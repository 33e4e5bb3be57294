/*
 * Names for what is made beside its final place and renamed when it is complete.
 */
#pragma once

#define TEMP_NAME_PREFIX ".envd-"
#define TEMP_NAME_DIGITS 16u /* random ones: nobody else's name, whatever is in the directory */
#define TEMP_NAME_SIZE   (sizeof TEMP_NAME_PREFIX + TEMP_NAME_DIGITS)

void temp_name_make(char out[TEMP_NAME_SIZE]);
