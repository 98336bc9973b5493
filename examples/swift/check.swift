// Checks the parser against the recorded streams: `check <folder tests/contract/streams>`.
//
// Compiled together with Understudy.swift by `tests/client/test_swift_example.py`.

import Foundation

struct Recorded: Decodable {
    struct Event: Decodable {
        let type: String
        let text: String?
        let message_id: String?
        let interrupted: String?
        let error: String?
        let retryable: Bool?

        var event: StreamEvent {
            switch type {
            case "token": return .token(text ?? "")
            case "failed": return .failed(error: error ?? "", retryable: retryable ?? false)
            default: return .done(messageID: message_id, interrupted: interrupted ?? "")
            }
        }
    }
    struct Then: Decodable {
        let status: Int
        let body: Body
        struct Body: Codable {
            let reply: String
            let message_id: String?
        }
    }
    struct Expected: Decodable {
        let resumes_after: [String]
        let events: [Event]
    }
    let run: String
    let parts: [String]
    let then: Then?
    let expected: Expected
}

@main
struct Check {
    static func main() throws {
        let folder = URL(fileURLWithPath: CommandLine.arguments[1])
        let files = try FileManager.default.contentsOfDirectory(
            at: folder, includingPropertiesForKeys: nil)
        var failures = 0
        for file in files where file.pathExtension == "json" {
            let recorded = try JSONDecoder().decode(Recorded.self, from: Data(contentsOf: file))
            let (events, resumes) = try replay(recorded, in: folder)
            if events != recorded.expected.events.map(\.event)
                || resumes != recorded.expected.resumes_after
            {
                print("\(file.lastPathComponent): \(events) \(resumes)")
                failures += 1
            }
        }
        print("\(files.count) files, \(failures) failures")
        exit(failures == 0 ? 0 : 1)
    }

    static func replay(_ recorded: Recorded, in folder: URL) throws -> ([StreamEvent], [String]) {
        var reading = Reading()
        var events: [StreamEvent] = []
        var resumes: [String] = []
        for (number, part) in recorded.parts.enumerated() {
            if number > 0 { resumes.append(reading.lastEventID) }
            reading.opened(run: recorded.run)
            let text = try String(contentsOf: folder.appendingPathComponent(part), encoding: .utf8)
            // What the connection cut off is no line.
            for line in text.components(separatedBy: "\n").dropLast() {
                if let event = reading.take(line: line) { events.append(event) }
            }
        }
        if let then = recorded.then {
            resumes.append(reading.lastEventID)
            events += try reading.conclude(gone: JSONEncoder().encode(then.body))
        }
        return (events, resumes)
    }
}
