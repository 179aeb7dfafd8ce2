// The door to libcrypto: its EVP digests, nothing else. EVP_Digest… are functions since OpenSSL 1.1, so no wrapper is needed.
#ifndef WHARF_COPENSSL_H
#define WHARF_COPENSSL_H
#include <openssl/evp.h>
#endif
