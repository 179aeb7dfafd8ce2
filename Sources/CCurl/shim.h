// What of libcurl Swift cannot call by itself: variadic functions by argument type, macros, and a union. No logic.
#ifndef WHARF_CCURL_SHIM_H
#define WHARF_CCURL_SHIM_H

#include <curl/curl.h>

typedef size_t (*wharf_curl_bytes_callback)(char *bytes, size_t size, size_t count, void *owner);

static inline CURLcode wharf_curl_set_long(CURL *easy, CURLoption option, long value) {
    return curl_easy_setopt(easy, option, value);
}

static inline CURLcode wharf_curl_set_text(CURL *easy, CURLoption option, const char *value) {
    return curl_easy_setopt(easy, option, value);
}

static inline CURLcode wharf_curl_set_pointer(CURL *easy, CURLoption option, void *value) {
    return curl_easy_setopt(easy, option, value);
}

static inline CURLcode wharf_curl_copy_bytes(CURL *easy, CURLoption option, const void *bytes) {
    return curl_easy_setopt(easy, option, bytes);
}

static inline CURLcode wharf_curl_set_callback(CURL *easy, CURLoption option, wharf_curl_bytes_callback callback) {
    return curl_easy_setopt(easy, option, callback);
}

static inline CURLcode wharf_curl_set_open_socket(CURL *easy, curl_opensocket_callback callback) {
    return curl_easy_setopt(easy, CURLOPT_OPENSOCKETFUNCTION, callback);
}

// In place: the address is declared 16 bytes long and is longer for IPv6, so a copy of the struct cuts it off.
static inline const void *wharf_curl_address(const struct curl_sockaddr *address) { return &address->addr; }

// CURLOPT_PROTOCOLS was replaced in 7.85; Ubuntu 22.04 still has 7.81.
static inline CURLcode wharf_curl_allow_only_http(CURL *easy) {
#if LIBCURL_VERSION_NUM >= 0x075500
    return curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http,https");
#else
    return curl_easy_setopt(easy, CURLOPT_PROTOCOLS, (long)(CURLPROTO_HTTP | CURLPROTO_HTTPS));
#endif
}

// Without it a cancelled or timed-out transfer whose name is still being looked up holds its thread, and with it
// every other transfer, until the resolver gives up (10 s, measured with a silent DNS server). Came with 7.87.
static inline CURLcode wharf_curl_leave_resolver_behind(CURL *easy) {
#if LIBCURL_VERSION_NUM >= 0x075700
    return curl_easy_setopt(easy, CURLOPT_QUICK_EXIT, 1L);
#else
    (void)easy;
    return CURLE_UNKNOWN_OPTION;
#endif
}

static inline CURLcode wharf_curl_get_text(CURL *easy, CURLINFO info, const char **value) {
    return curl_easy_getinfo(easy, info, value);
}

static inline CURLcode wharf_curl_get_long(CURL *easy, CURLINFO info, long *value) {
    return curl_easy_getinfo(easy, info, value);
}

static inline CURLcode wharf_curl_get_offset(CURL *easy, CURLINFO info, curl_off_t *value) {
    return curl_easy_getinfo(easy, info, value);
}

static inline CURLcode wharf_curl_get_pointer(CURL *easy, CURLINFO info, void **value) {
    return curl_easy_getinfo(easy, info, value);
}

static inline CURLMcode wharf_curl_multi_set_long(CURLM *multi, CURLMoption option, long value) {
    return curl_multi_setopt(multi, option, value);
}

// CURLMsg.data is a union; it is freed by curl_multi_remove_handle, so both are read before that.
static inline CURLcode wharf_curl_message_result(const CURLMsg *message) { return message->data.result; }
static inline CURL *wharf_curl_message_easy(const CURLMsg *message) { return message->easy_handle; }

// SOCKS 5 may else be asked to log in by Kerberos, where libcurl was built with it.
static inline long wharf_curl_auth_basic(void) { return (long)CURLAUTH_BASIC; }

// Returned by a write callback: any count other than the one offered ends the transfer with CURLE_WRITE_ERROR
// (CURL_WRITEFUNC_ERROR itself came with 7.87).
static inline size_t wharf_curl_abort_count(void) { return 0xFFFFFFFF; }
static inline size_t wharf_curl_pause_count(void) { return CURL_WRITEFUNC_PAUSE; }

static inline CURLcode wharf_curl_global_init(void) { return curl_global_init(CURL_GLOBAL_DEFAULT); }

#endif
