// How many connections may be open, and what those beyond are told.
import HTTPServer
import HTTPTypes
import Testing

@Suite("Connection limits", .timeLimit(.minutes(1))) struct ConnectionLimitTests {
    @Test(arguments: [true, false])
    func `beyond the limit a client is told 503 and when to come again`(isTotal: Bool) async throws {
        let configuration = ServerConfiguration.test { configuration in
            if isTotal { configuration.connections = 2 } else { configuration.connectionsPerAddress = 2 }
        }
        try await TestServer.run(StubResponder.echo, configuration) { server in
            let held = [try await server.connect(), try await server.connect()]
            try await onThread {
                for client in held {
                    try client.get("/held")
                    _ = try client.reply()
                }
            }
            let (text, end) = try await server.exchange("GET /a HTTP/1.1\r\nHost: t\r\n\r\n")
            #expect(text.hasPrefix("HTTP/1.1 503 ") && text.contains("Retry-After: 1\r\n"))
            #expect(text.contains("Connection: close\r\n") && end == .closed)

            // Those who have their place keep it, and one that is given up is free.
            let again = try await onThread {
                try held[0].get("/again")
                return try held[0].reply().text
            }
            #expect(again == "GET /again")
            held[1].close()
            let isFree = await eventually {
                let answer = try? await server.exchange("GET /a HTTP/1.1\r\nHost: t\r\nConnection: close\r\n\r\n")
                return answer?.text.hasSuffix("GET /a") == true
            }
            #expect(isFree)
        }
    }

    @Test func `a flood beyond the limit is cut off, and does not cut off those inside`() async throws {
        try await TestServer.run(StubResponder.echo, .test { $0.connections = 1 }) { server in
            let held = try await server.connect()
            try await onThread {
                try held.get("/")
                _ = try held.reply()
            }
            let flood = try await onThread { try (0..<400).map { _ in try Client(port: server.address.port) } }
            // More than may be told so at one time: the others are dropped without a word.
            #expect(await eventually { flood.count { $0.hasBeenReset } == 400 - 256 })
            let text = try await onThread {
                try held.get("/inside")
                return try held.reply().text
            }
            #expect(text == "GET /inside")
        }
    }
}
