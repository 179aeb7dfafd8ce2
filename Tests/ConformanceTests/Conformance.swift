// The black box: the built `wharf` between real upstreams and real clients, all of them processes of their own.
//
//     client ──► Recorder (nginx) ──► wharf ──► Recorder (nginx) ──► docker-registry
//        └─────► FakeHub (nginx, TLS): where a client that gives up on the mirror is seen
//
// The tests run as root (dockerd, mount namespaces, port 443) on what `deploy/test` installs; what is missing fails
// them. Harness/ has the scenery; a test takes a bench (`withBench`), a scene (`withScene`) or a dockerd (`withDocker`).
//
//     WHARF_BINARY=PATH     the program to test, where it is not the one built beside the tests
//     WHARF_KILLS=N         how often CrashTests kill at random; WHARF_CRASH_SEED=N, and WHARF_CRASH_ALL=1 for every step
//                           and cut instead of some: `deploy/crash` sets them
//     WHARF_SCREENSHOTS=DIR where the tests of the dashboard leave pictures of it; none: nowhere
//     WHARF_TEST_SHOW=1     prints what the recorders saw
//     WHARF_TEST_KEEP=1     leaves the benches, with every program's output, for a look

import Testing

/// Every suite of this target is nested in it: they run one after another, since on two cores real daemons side by
/// side would only time each other out.
@Suite(.serialized, .timeLimit(.minutes(10))) enum Conformance {}
