// The multi handle of libcurl, in Swift's words.
import CCurl

/// Owns a multi handle for the life of one `CurlLoop`.
///
/// `@unchecked Sendable` is true because all but `wake` is called on the loop's thread alone, and
/// `curl_multi_wakeup` is the one function that libcurl documents as callable from any thread. `wake` is called
/// only under the lock of an inbox that is still open, so never after `cleanUp`.
struct CurlMulti: @unchecked Sendable {
    private let raw: UnsafeMutableRawPointer

    /// Once a process: `curl_global_init` before any handle.
    private static let isReady = wharf_curl_global_init() == CURLE_OK

    /// Nil where memory or descriptors are short just now. Without a descriptor libcurl makes one that cannot be woken,
    /// which would sleep over what it is told.
    init?() {
        precondition(Self.isReady, "libcurl does not start")
        guard let raw = curl_multi_init() else { return nil }
        guard curl_multi_wakeup(raw) == CURLM_OK else {
            curl_multi_cleanup(raw)
            return nil
        }
        self.raw = raw
        wharf_curl_multi_set_long(raw, CURLMOPT_MAXCONNECTS, 64)  // kept idle, to all hosts of one rule together
    }

    func wake() { curl_multi_wakeup(raw) }

    func add(_ easy: UnsafeMutableRawPointer) { curl_multi_add_handle(raw, easy) }

    func remove(_ easy: UnsafeMutableRawPointer) { curl_multi_remove_handle(raw, easy) }

    func perform() {
        var running: CInt = 0
        curl_multi_perform(raw, &running)
    }

    /// A handle that is done, and how; nil when there is no other.
    func nextEnded() -> (easy: UnsafeMutableRawPointer, code: CURLcode)? {
        var left: CInt = 0
        while let message = curl_multi_info_read(raw, &left) {
            guard message.pointee.msg == CURLMSG_DONE, let easy = wharf_curl_message_easy(message) else { continue }
            return (easy, wharf_curl_message_result(message))
        }
        return nil
    }

    /// Waits until a socket is ready, a timer of libcurl is due, `wake` was called, or the time is over.
    /// - Returns: whether a socket was ready.
    func wait(milliseconds: CInt) -> Bool {
        var ready: CInt = 0
        curl_multi_poll(raw, nil, 0, milliseconds, &ready)
        return ready > 0
    }

    func cleanUp() { curl_multi_cleanup(raw) }
}
