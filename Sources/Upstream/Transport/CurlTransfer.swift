// One easy handle: its options, its C callbacks, and the state machine they feed.
import CCurl
import HTTPSemantics
import HTTPTypes

/// Owns an easy handle and lives on the loop's thread only.
///
/// C holds it unretained (`CURLOPT_PRIVATE`, `WRITEDATA`, `HEADERDATA`): the loop's dictionary keeps it until after
/// `curl_multi_remove_handle`, and no callback comes later than that.
final class CurlTransfer {
    let id: UInt64
    let easy: UnsafeMutableRawPointer
    private let request: TransferRequest
    private let receiver: any TransferReceiver
    private var door: CurlDoor
    private var state = TransferState()
    private var hasHead = false
    private var fields: UnsafeMutablePointer<curl_slist>?
    private let errorText = UnsafeMutablePointer<CChar>.allocate(capacity: Int(CURL_ERROR_SIZE))

    /// Bytes came since the loop last looked; bytes came since the receiver last settled.
    private(set) var isMoving = false
    private(set) var isUnsettled = false

    /// Nil if libcurl has no memory left for a handle.
    init?(id: UInt64, request: TransferRequest, receiver: any TransferReceiver) {
        guard let easy = curl_easy_init() else { return nil }
        self.id = id
        self.easy = easy
        self.request = request
        self.receiver = receiver
        door = CurlDoor(host: request.url.origin.host, rule: request.way.addressesToConnect)
        errorText.initialize(repeating: 0, count: Int(CURL_ERROR_SIZE))
        setConnection()
        setRequest()
        setCallbacks()
    }

    deinit {
        curl_easy_cleanup(easy)
        curl_slist_free_all(fields)
        errorText.deallocate()
    }

    /// The transfer behind a handle that libcurl names.
    static func of(_ easy: UnsafeMutableRawPointer) -> CurlTransfer? {
        var pointer: UnsafeMutableRawPointer?
        guard wharf_curl_get_pointer(easy, CURLINFO_PRIVATE, &pointer) == CURLE_OK, let pointer else { return nil }
        return Unmanaged<CurlTransfer>.fromOpaque(pointer).takeUnretainedValue()
    }

    /// Unpauses. libcurl calls the write callback from inside this, which may pause again.
    func resume() {
        if state.resumed() == .unpause { curl_easy_pause(easy, CURLPAUSE_CONT) }
    }

    /// Nothing was heard on a connection that others may share: it may be dead, and libcurl would go on using it.
    var isSilentOnShared: Bool { request.version == .http2 && request.url.origin.isSecure && !hasHead }

    var peer: CurlLoop.Peer { CurlLoop.Peer(origin: request.url.origin, way: request.way) }

    /// Its connection is closed once it serves nobody any more.
    func forbidReuse() { wharf_curl_set_long(easy, CURLOPT_FORBID_REUSE, 1) }

    /// Tells the receiver that it was cancelled. The handle has been removed from the multi handle before.
    func cancel() {
        perform(state.cancelled())
    }

    /// libcurl is done with the handle, which has been removed from the multi handle before.
    func ended(_ code: CURLcode) {
        perform(state.ended(code == CURLE_OK ? .complete : failure(code)))
    }

    /// Called after each round of the loop: settles what has stopped moving, or everything if `isQuiet`.
    func settleIfStill(isQuiet: Bool) {
        isUnsettled = isUnsettled || isMoving
        defer { isMoving = false }
        guard isUnsettled, isQuiet || !isMoving else { return }
        isUnsettled = false
        receiver.settle()
    }

    private func perform(_ action: TransferState.Action) {
        if case .finish(let end) = action { receiver.finished(end) }
    }

    // MARK: Options

    private func setConnection() {
        wharf_curl_set_long(easy, CURLOPT_NOSIGNAL, 1)
        wharf_curl_leave_resolver_behind(easy)
        wharf_curl_allow_only_http(easy)
        setWay(request.way, on: easy)
        wharf_curl_set_long(easy, CURLOPT_FOLLOWLOCATION, 0)
        wharf_curl_set_long(easy, CURLOPT_TCP_KEEPALIVE, 1)
        wharf_curl_set_long(easy, CURLOPT_TCP_KEEPIDLE, 30)
        wharf_curl_set_long(easy, CURLOPT_TCP_KEEPINTVL, 10)
        wharf_curl_set_long(easy, CURLOPT_BUFFERSIZE, 512 * 1024)
        wharf_curl_set_long(easy, CURLOPT_CONNECTTIMEOUT_MS, max(1, request.connectTimeout.wholeMilliseconds))
        // libcurl's speed is the mean of its last five seconds, so its "too slow" begins to count that late.
        let stall = max(1, request.stallTimeout.wholeMilliseconds / 1000 - 5)
        wharf_curl_set_long(easy, CURLOPT_LOW_SPEED_LIMIT, 1)
        wharf_curl_set_long(easy, CURLOPT_LOW_SPEED_TIME, stall)
        switch request.version {
        case .http1: wharf_curl_set_long(easy, CURLOPT_HTTP_VERSION, Int(CURL_HTTP_VERSION_1_1))
        case .http2:
            wharf_curl_set_long(easy, CURLOPT_HTTP_VERSION, Int(CURL_HTTP_VERSION_2TLS))
            wharf_curl_set_long(easy, CURLOPT_PIPEWAIT, request.url.origin.isSecure ? 1 : 0)
        }
    }

    private func setRequest() {
        wharf_curl_set_text(easy, CURLOPT_URL, request.url.absolute)
        wharf_curl_set_long(easy, CURLOPT_PATH_AS_IS, 1)
        switch request.method {
        case .head: wharf_curl_set_long(easy, CURLOPT_NOBODY, 1)
        case .post:
            // The size first: libcurl copies so many bytes, and a form may hold a zero byte.
            wharf_curl_set_long(easy, CURLOPT_POSTFIELDSIZE, request.body.count)
            _ = request.body.withUnsafeBytes { wharf_curl_copy_bytes(easy, CURLOPT_COPYPOSTFIELDS, $0.baseAddress) }
        default: wharf_curl_set_long(easy, CURLOPT_HTTPGET, 1)
        }
        // "Name;" is how libcurl is told of an empty value; "Name:" removes the field.
        add("Expect:")
        for field in request.fields { add(field.value.isEmpty ? "\(field.name);" : "\(field.name): \(field.value)") }
        wharf_curl_set_pointer(easy, CURLOPT_HTTPHEADER, fields)
    }

    private func add(_ line: String) {
        if let longer = curl_slist_append(fields, line) { fields = longer }
    }

    private func setCallbacks() {
        let me = Unmanaged.passUnretained(self).toOpaque()
        wharf_curl_set_pointer(easy, CURLOPT_PRIVATE, me)
        wharf_curl_set_pointer(easy, CURLOPT_ERRORBUFFER, errorText)
        wharf_curl_set_pointer(easy, CURLOPT_HEADERDATA, me)
        wharf_curl_set_callback(easy, CURLOPT_HEADERFUNCTION) { bytes, size, count, owner in
            guard let bytes, let owner else { return wharf_curl_abort_count() }
            let transfer = Unmanaged<CurlTransfer>.fromOpaque(owner).takeUnretainedValue()
            return transfer.header(UnsafeRawBufferPointer(start: bytes, count: size * count))
        }
        wharf_curl_set_pointer(easy, CURLOPT_WRITEDATA, me)
        wharf_curl_set_callback(easy, CURLOPT_WRITEFUNCTION) { bytes, size, count, owner in
            guard let bytes, let owner else { return wharf_curl_abort_count() }
            let transfer = Unmanaged<CurlTransfer>.fromOpaque(owner).takeUnretainedValue()
            return transfer.body(UnsafeRawBufferPointer(start: bytes, count: size * count))
        }
        wharf_curl_set_pointer(easy, CURLOPT_OPENSOCKETDATA, me)
        wharf_curl_set_open_socket(easy) { owner, _, address in
            guard let owner, let address else { return CURL_SOCKET_BAD }
            return Unmanaged<CurlTransfer>.fromOpaque(owner).takeUnretainedValue().door.open(address)
        }
    }

    // MARK: Callbacks

    private func header(_ line: UnsafeRawBufferPointer) -> Int {
        switch state.headerLine(Substring(decoding: line, as: UTF8.self)) {
        case .head(var head):
            hasHead = true
            if request.way.proxy == nil { head.remoteAddress = text(CURLINFO_PRIMARY_IP) }
            return state.headJudged(receiver.head(head)) == .abort ? wharf_curl_abort_count() : line.count
        case .abort: return wharf_curl_abort_count()
        case .nothing, .deliver, .take, .pause, .unpause, .finish: return line.count
        }
    }

    private func body(_ bytes: UnsafeRawBufferPointer) -> Int {
        var action = state.bytesOffered()
        if action == .deliver {
            isMoving = true
            action = state.bytesJudged(receiver.bytes(bytes))
        }
        switch action {
        case .take: return bytes.count
        case .pause: return wharf_curl_pause_count()
        case .nothing, .head, .deliver, .abort, .unpause, .finish: return wharf_curl_abort_count()
        }
    }

    // MARK: What libcurl knows

    private func failure(_ code: CURLcode) -> TransferEnd {
        let words = String(cString: errorText)
        return CurlFailure(
            code: code, words: words.isEmpty ? String(cString: curl_easy_strerror(code)) : words, request: request,
            prohibition: door.prohibition, systemError: CInt(truncatingIfNeeded: number(CURLINFO_OS_ERRNO)),
            connectStatus: number(CURLINFO_HTTP_CONNECTCODE),
            socksReply: CURLproxycode(UInt32(truncatingIfNeeded: number(CURLINFO_PROXY_ERROR))),
            isResolved: microseconds(CURLINFO_NAMELOOKUP_TIME_T) > 0,
            isConnected: microseconds(CURLINFO_PRETRANSFER_TIME_T) > 0, hasHead: hasHead
        ).end
    }

    private func number(_ info: CURLINFO) -> Int {
        var value = 0
        wharf_curl_get_long(easy, info, &value)
        return value
    }

    private func microseconds(_ info: CURLINFO) -> Int64 {
        var value: curl_off_t = 0
        wharf_curl_get_offset(easy, info, &value)
        return Int64(value)
    }

    private func text(_ info: CURLINFO) -> String? {
        var value: UnsafePointer<CChar>?
        guard wharf_curl_get_text(easy, info, &value) == CURLE_OK, let value else { return nil }
        return String(cString: value)
    }
}

extension Duration {
    fileprivate var wholeMilliseconds: Int {
        Int(clamping: components.seconds) * 1000 + Int(components.attoseconds / 1_000_000_000_000_000)
    }
}
