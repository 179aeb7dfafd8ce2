// RFC 9110 §7.6.3: through whom a request has come.
import Testing

@testable import HTTPSemantics

@Suite("Via") struct Via7Tests {
    @Test(
        arguments: [
            (["1.1 wharf-a"], ["wharf-a"]), (["1.1 wharf-a, 1.0 squid (3.5), HTTP/2.0 wharf-b (x)"], ["wharf-a", "wharf-b"]),
            (["1.1 wharf-a", "1.1 wharf-b"], ["wharf-a", "wharf-b"]), (["wharf-a", "", ",,", "1.1"], []),
            (["1.1 wharf-" + String(repeating: "x", count: 100)], []),
        ]) func `mirrors of this kind are read in their order, others left out`(fields: [String], names: [String])
    {
        #expect(Via(fields).names == names)
    }

    @Test func `a name is matched whole, and a hop is added behind the others`() {
        let via = Via(["1.1 wharf-ab, 1.1 wharf-c"])
        #expect(via.leadsBack(to: "wharf-c") && via.leadsBack(to: "wharf-ab"))
        #expect(!via.leadsBack(to: "wharf-a"))
        #expect(via.adding("wharf-d") == "1.1 wharf-ab, 1.1 wharf-c, 1.1 wharf-d")
        #expect(Via().adding("wharf-d") == "1.1 wharf-d")
    }

    @Test func `a way that is too long leads nowhere`() {
        let ten = Via([(0..<10).map { "1.1 wharf-\($0)" }.joined(separator: ",")])
        #expect(!ten.leadsBack(to: "wharf-x"))
        let eleven = Via([ten.adding("wharf-10")])
        #expect(eleven.leadsBack(to: "wharf-x"))
        #expect(Via([String(repeating: "1.1 wharf-z,", count: 10_000)]).names.count == 11)
    }
}
