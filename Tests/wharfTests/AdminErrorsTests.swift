// What a mirror's refusals say on a terminal.

import Testing

@testable import wharf

@Suite("Refusals in words") struct AdminErrorsTests {
    @Test func `each message is a line, and nothing in it moves a cursor`() {
        let answer = #"{"errors":[{"message":"a\u001b[2Jb\nc"},{"message":null},{"message":"plain"}]}"#
        #expect(AdminErrors.messages(in: answer, status: 400) == ["a?[2Jb?c", "plain"])
    }

    @Test(arguments: ["", "<html>\u{1B}[2J</html>", "{}", #"{"errors":[]}"#])
    func `of what is in another form only the status is told`(answer: String) {
        #expect(AdminErrors.messages(in: answer, status: 502) == ["the mirror answered 502"])
    }
}
