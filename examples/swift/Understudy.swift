// Streams the answers of an Understudy server, token by token, on Apple platforms.
//
//     let client = UnderstudyClient(base: URL(string: "http://127.0.0.1:8000")!)
//     let session = try await client.start(user: "ana", persona: "calm_coach")
//     for try await event in client.stream(session: session, message: "How do I calm down?") {
//         if case .token(let text) = event { print(text, terminator: "") }
//     }
//
// A connection that breaks is taken up again where it was. One file, only Foundation. The parser
// and `Reading` need no network and are checked against `tests/contract`; `URLSession.bytes(for:)`
// exists on Apple platforms (iOS 15, macOS 12 and newer) and not in Foundation for Linux.

import Foundation

/// What a stream yields: tokens, then exactly one `done` or `failed`.
public enum StreamEvent: Equatable, Sendable {
    /// The next piece of the answer, to be shown right after the one before.
    case token(String)
    /// The end. `messageID` is nil when the answer could not be stored; `interrupted` says why it
    /// ended early and is empty when it is complete.
    case done(messageID: String?, interrupted: String)
    /// The end of an answer that broke off: one sentence, and whether asking again may help.
    case failed(error: String, retryable: Bool)
}

/// The server refused, or the connection broke for good. `message` is one sentence for people.
public struct UnderstudyError: Error, Equatable, Sendable {
    public let status: Int
    public let message: String
}

/// The data of an event, whichever kind it is.
struct Frame: Decodable {
    var token: String?
    var done: Bool?
    var error: String?
    var retryable: Bool?
    var messageID: String?
    var interrupted: String?

    enum CodingKeys: String, CodingKey {
        case token, done, error, retryable, interrupted
        case messageID = "message_id"
    }

    var event: StreamEvent {
        if done != true { return .token(token ?? "") }
        if let error { return .failed(error: error, retryable: retryable ?? false) }
        return .done(messageID: messageID, interrupted: interrupted ?? "")
    }
}

/// A run that can no longer be resumed, with all that was said.
struct Gone: Decodable {
    let reply: String
    let messageID: String?

    enum CodingKeys: String, CodingKey {
        case reply
        case messageID = "message_id"
    }
}

/// Where a reader of one answer is, whatever connection it reads through. Does no I/O.
public struct Reading {
    public private(set) var run = ""
    public private(set) var ended = false
    public private(set) var text = ""
    private var sequence = 0
    private var pendingID = ""

    public init() {}

    /// The id to go on after.
    public var lastEventID: String { "\(run):\(sequence)" }

    /// The server has begun to send the events of `run`.
    public mutating func opened(run named: String) {
        if run.isEmpty { run = named }
        pendingID = ""
    }

    /// The event that a whole line completes, nil when it completes none or it is known already.
    ///
    /// The server writes `id`, then `data` on one line, which makes the latter the event's end.
    public mutating func take(line: String) -> StreamEvent? {
        if line.hasPrefix("id: ") { pendingID = String(line.dropFirst(4)) }
        guard line.hasPrefix("data: ") else { return nil }
        guard let number = pendingID.split(separator: ":").last.flatMap({ Int($0) }),
            number > sequence, !ended
        else { return nil }
        guard
            let frame = try? JSONDecoder().decode(Frame.self, from: Data(line.dropFirst(6).utf8))
        else { return nil }
        sequence = number
        let event = frame.event
        if case .token(let piece) = event { text += piece } else { ended = true }
        return event
    }

    /// The last events of a run that is gone, from the text the server has kept.
    public mutating func conclude(gone body: Data) throws -> [StreamEvent] {
        let gone = try JSONDecoder().decode(Gone.self, from: body)
        ended = true
        let end = StreamEvent.done(messageID: gone.messageID, interrupted: "")
        // By bytes: a token may end in the middle of what Swift counts as one character.
        guard gone.reply.utf8.starts(with: text.utf8), gone.reply.utf8.count > text.utf8.count
        else { return [end] }
        let rest = String(decoding: gone.reply.utf8.dropFirst(text.utf8.count), as: UTF8.self)
        text = gone.reply
        return [.token(rest), end]
    }
}

#if !canImport(FoundationNetworking)

/// A running server. `token` is a bearer token, which a server on this machine need not ask for.
public struct UnderstudyClient: Sendable {
    private let base: URL
    private let token: String?
    private let attempts = 4

    public init(base: URL, token: String? = nil) {
        self.base = base
        self.token = token
    }

    /// Starts a session and returns its id.
    public func start(user: String, persona: String? = nil) async throws -> String {
        var body = ["user_id": user]
        body["persona"] = persona
        struct Started: Decodable { let session_id: String }
        let (data, response) = try await URLSession.shared.data(
            for: request("chat/start", body: body))
        try check(response, data)
        return try JSONDecoder().decode(Started.self, from: data).session_id
    }

    /// Stops an answer.
    public func stop(run: String) async throws {
        let (data, response) = try await URLSession.shared.data(
            for: request("chat/runs/\(run)/stop", body: [:]))
        try check(response, data)
    }

    /// Answers `message` token by token. Ending the loop leaves: the server then stops the answer
    /// after its grace time.
    public func stream(session: String, message: String) -> AsyncThrowingStream<StreamEvent, Error> {
        AsyncThrowingStream { continuation in
            let task = Task {
                do {
                    try await follow(session: session, message: message) { continuation.yield($0) }
                    continuation.finish()
                } catch {
                    continuation.finish(throwing: error)
                }
            }
            continuation.onTermination = { _ in task.cancel() }
        }
    }

    private func follow(
        session: String, message: String, emit: (StreamEvent) -> Void
    ) async throws {
        var reading = Reading()
        var failures = 0
        while !reading.ended {
            let before = reading.lastEventID
            do {
                try await connect(session, message, &reading, emit)
            } catch let error as URLError where !reading.run.isEmpty && error.code != .cancelled {
                // Reading changes nothing: it can be tried again. A question cannot.
            }
            if reading.ended { return }
            failures = reading.lastEventID == before ? failures + 1 : 1
            guard !reading.run.isEmpty, failures <= attempts else {
                throw UnderstudyError(status: 0, message: "The connection broke and stays away.")
            }
            let seconds = 0.25 * pow(2, Double(failures - 1)) * Double.random(in: 0.5...1)
            try await Task.sleep(nanoseconds: UInt64(seconds * 1e9))
        }
    }

    /// Reads one connection to its end.
    private func connect(
        _ session: String, _ message: String, _ reading: inout Reading,
        _ emit: (StreamEvent) -> Void
    ) async throws {
        let (bytes, response) = try await URLSession.shared.bytes(
            for: next(session, message, reading))
        let http = response as? HTTPURLResponse
        guard http?.statusCode == 200 else {
            var body = Data()
            for try await byte in bytes { body.append(byte) }
            if http?.statusCode == 410 { try reading.conclude(gone: body).forEach(emit) }
            if !reading.ended { try check(response, body) }
            return
        }
        reading.opened(run: http?.value(forHTTPHeaderField: "X-Run-Id") ?? "")
        // Not `bytes.lines`: that also ends a line at U+2028, which JSON may hold as it is.
        var line: [UInt8] = []
        for try await byte in bytes {
            guard byte == UInt8(ascii: "\n") else {
                line.append(byte)
                continue
            }
            if let event = reading.take(line: String(decoding: line, as: UTF8.self)) { emit(event) }
            if reading.ended { return }
            line.removeAll(keepingCapacity: true)
        }
    }

    /// What to ask the server for next: the answer, or the rest of it.
    private func next(_ session: String, _ message: String, _ reading: Reading) -> URLRequest {
        guard !reading.run.isEmpty else {
            return request("chat/stream", body: ["session_id": session, "message": message])
        }
        var rest = request("chat/runs/\(reading.run)")
        rest.setValue(reading.lastEventID, forHTTPHeaderField: "Last-Event-ID")
        return rest
    }

    private func request(_ path: String, body: [String: String]? = nil) -> URLRequest {
        var request = URLRequest(url: base.appendingPathComponent(path))
        request.timeoutInterval = 30  // three of the server's pings
        if let token { request.setValue("Bearer \(token)", forHTTPHeaderField: "Authorization") }
        if let body {
            request.httpMethod = "POST"
            request.setValue("application/json", forHTTPHeaderField: "Content-Type")
            request.httpBody = try? JSONEncoder().encode(body)
        }
        return request
    }

    private func check(_ response: URLResponse, _ body: Data) throws {
        let status = (response as? HTTPURLResponse)?.statusCode ?? 0
        guard !(200..<300).contains(status) else { return }
        struct Problem: Decodable { let detail: String }
        let problem = try? JSONDecoder().decode(Problem.self, from: body)
        throw UnderstudyError(
            status: status, message: problem?.detail ?? "The server answered \(status).")
    }
}

#endif
