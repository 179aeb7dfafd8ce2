// How long something may still take, by the clock seam.
import HTTPSemantics

/// A bound on several steps together, begun when it is made.
struct Deadline: Sendable {
    private let clock: any Clock<Duration>
    private let elapsed: @Sendable () -> Duration
    private let limit: Duration

    init(_ limit: Duration, clock: any Clock<Duration>) {
        self.clock = clock
        self.limit = limit
        elapsed = stopwatch(clock)
    }

    var remaining: Duration { max(.zero, limit - elapsed()) }

    /// Does the work within a share of what remains; beyond it the work is cancelled and waited for.
    ///
    /// Work that ends well while it is being cancelled has ended well: a stream that was accepted at the last
    /// instant is not lost.
    func bound<Value: Sendable>(
        sharedBy parts: Int = 1, _ work: @escaping @Sendable () async throws(UpstreamError) -> Value
    ) async throws(UpstreamError) -> Value {
        let share = remaining / parts
        let result: Result<Value, UpstreamError> = await withTaskGroup(of: Step<Value>.self) { group in
            group.addTask { .ended(await outcome(of: work)) }
            group.addTask { [clock] in
                do { try await clock.sleep(for: share) } catch { return .woken }
                return .late
            }
            var isLate = false
            while let step = await group.next() {
                switch step {
                case .ended(.failure(.cancelled)) where isLate:
                    return .failure(.unreachable(.httpResponseTimeout, "no answer within \(seconds(share))"))
                case .ended(let result):
                    group.cancelAll()
                    return result
                case .late:
                    isLate = true
                    group.cancelAll()
                case .woken: continue
                }
            }
            return .failure(.cancelled)
        }
        return try result.get()
    }

    private enum Step<Value: Sendable>: Sendable {
        case ended(Result<Value, UpstreamError>)
        case late
        case woken
    }
}

/// For people: to a tenth of a second.
private func seconds(_ duration: Duration) -> String {
    let tenths = (duration / .milliseconds(100)).rounded()
    return tenths.remainder(dividingBy: 10) == 0 ? "\(Int(tenths / 10)) s" : "\(tenths / 10) s"
}

/// Time since the call, by any clock.
package func stopwatch<C: Clock>(_ clock: C) -> @Sendable () -> Duration where C.Duration == Duration {
    let start = clock.now
    return { start.duration(to: clock.now) }
}

/// What work comes to, as a value: task groups and tasks do not carry typed errors.
func outcome<Value>(of work: () async throws(UpstreamError) -> Value) async -> Result<Value, UpstreamError> {
    do throws(UpstreamError) {
        return .success(try await work())
    } catch {
        return .failure(error)
    }
}
