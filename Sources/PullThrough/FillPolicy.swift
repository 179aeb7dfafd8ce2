// How the fills of one upstream behave, in the configuration's words.

package struct FillPolicy: Sendable {
    /// Connections for one large blob; 1: never more than one.
    package var ranges = 4
    /// After the status line: no progress for so long, every way tried, ends it.
    package var giveUpAfter = Duration.seconds(60)
    /// A connection from which nothing comes for so long has broken.
    package var stallTimeout = Duration.seconds(20)
    /// Bytes a second; slower than this for ten seconds, with another way at hand, is replaced.
    package var minSpeed: Int64 = 64 << 10
    /// Whether what was begun is finished without anybody waiting.
    package var finishes = true
    /// What only ranges began is completed when none was asked for so long.
    package var rangeIdle = Duration.seconds(60)
    /// 0..<1: how much of a delay's random part is waited.
    package var jitter: @Sendable () -> Double = { Double.random(in: 0..<1) }

    package init() {}
}
