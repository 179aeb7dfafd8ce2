// `POST /api/v1/reload`: the configuration is read again. What that means is the switchboard's to say.

import HTTPServer
import HTTPTypes

/// What became of a reload.
package enum Reloaded: Equatable, Sendable {
    /// The keys whose values are others now, and those that differ and take a restart.
    case changed([String], restart: [String])
    /// Everything stays as it was. One a mistake, each with its place.
    case refused([String])
}

struct ReloadHandler: Sendable {
    let reload: @Sendable () async -> Reloaded

    private struct Changed: Encodable {
        let changed, restart: [String]
    }

    /// As registries tell errors: distribution-spec v1.1 "Error Codes".
    private struct Refused: Encodable {
        struct Mistake: Encodable {
            let code = "CONFIGURATION_INVALID"
            let message: String
        }

        let errors: [Mistake]
    }

    func respond() async -> Response {
        switch await reload() {
        case .changed(let changed, let restart): .json(Changed(changed: changed, restart: restart))
        case .refused(let mistakes):
            .json(Refused(errors: mistakes.map { Refused.Mistake(message: $0) }), status: .badRequest)
        }
    }
}
