// The door to libcrypt, which hashes passwords: crypt_rn, and nothing else of it.
#ifndef WHARF_CCRYPT_H
#define WHARF_CCRYPT_H
#include <crypt.h>
#endif
