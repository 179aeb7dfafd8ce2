// `GET /` and `GET /assets/<name>`: the dashboard, whose files are part of the program.

import HTTPSemantics
import HTTPServer
import HTTPTypes
import OCI

/// Serves what lies in `web/`. Its files are few and never change while the program runs, so each answer is made once.
struct PageHandler: Sendable {
    /// Every file by the name that it has in `web/`, which is also the one after `/assets/`.
    static let files: [(name: String, bytes: [UInt8])] = [
        (document, PackageResources.index_html), ("style.css", PackageResources.style_css),
        ("mark.svg", PackageResources.mark_svg), ("theme.js", PackageResources.theme_js),
        ("app.js", PackageResources.app_js), ("dom.js", PackageResources.dom_js),
        ("format.js", PackageResources.format_js), ("api.js", PackageResources.api_js),
        ("live.js", PackageResources.live_js), ("charts.js", PackageResources.charts_js),
        ("now.js", PackageResources.now_js), ("disk.js", PackageResources.disk_js),
        ("overview.js", PackageResources.overview_js), ("browse.js", PackageResources.browse_js),
        ("image.js", PackageResources.image_js), ("connect.js", PackageResources.connect_js),
        ("acts.js", PackageResources.acts_js),
    ]

    /// CSP Level 3: all comes from here and is a file, nothing is sent elsewhere, and nobody shows it in a frame.
    static let policy =
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
        + "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

    private static let document = "index.html"
    private static let folder = "/assets/"

    /// By path.
    private let answers: [String: Response]

    init() {
        let answers = Self.files.map { name, bytes in
            (name == Self.document ? "/" : Self.folder + name, Self.answer(name, bytes))
        }
        self.answers = Dictionary(uniqueKeysWithValues: answers)
    }

    /// Whether such a path is the page's, be there a file or none.
    static func covers(_ path: String) -> Bool { path == "/" || path.hasPrefix(folder) }

    /// - Returns: nil if there is no such file.
    func respond(to request: Request) -> Response? {
        guard let whole = answers[request.path] else { return nil }
        // RFC 9110 §13.1.2. A browser asks each time whether it is still the same: after an update, the next look shows
        // files that fit together.
        guard let tag = whole.fields[.eTag], Validators.ifNoneMatch(request.fields[.ifNoneMatch], entityTag: tag) else {
            return whole
        }
        return Response(status: .notModified, fields: whole.fields)
    }

    private static func answer(_ name: String, _ bytes: [UInt8]) -> Response {
        Response(
            status: .ok,
            fields: [
                .contentType: type(of: name), .eTag: "\"\(Digest.of(bytes).hex)\"", .cacheControl: "no-cache",
                .contentSecurityPolicy: policy, .contentTypeOptions: "nosniff", .referrerPolicy: "no-referrer",
            ],
            body: .bytes(bytes))
    }

    private static func type(of name: String) -> String {
        switch name.split(separator: ".").last {
        case "html": "text/html; charset=utf-8"
        case "css": "text/css; charset=utf-8"
        case "svg": "image/svg+xml"
        default: "text/javascript; charset=utf-8"
        }
    }
}
