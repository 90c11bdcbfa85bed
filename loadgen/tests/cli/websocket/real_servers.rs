//! The servers of Python's `websockets` and of Node's `ws`, which verify every frame of the loader.
//! They divide replies, send pings, and count what they get.

use std::fs;

use crate::http_servers::HttpServer;
use crate::program::*;

/// Each connection logs how many messages, bytes, pings and pongs it had, and how it was closed.
const PYTHON: &str = r#"
import asyncio, websockets

async def echo(socket, *_):
    messages, size, pings = 0, 0, []
    async for message in socket:
        messages += 1
        size += len(message)
        if messages % 10 == 0:
            pings.append(await socket.ping(b"%d" % messages))
        half = len(message) // 2
        if messages % 3 == 0 and half:
            await socket.send([message[:half], message[half:]])
        else:
            await socket.send(message)
    pongs = sum(ping.done() and ping.exception() is None for ping in pings)
    with open("log", "a") as log:
        log.write(f"{messages} {size} {len(pings)} {pongs} {socket.close_code}\n")

async def main():
    origins = ["http://loadgen.example"]
    server = await websockets.serve(echo, "127.0.0.1", 0, max_size=None, origins=origins)
    print(server.sockets[0].getsockname()[1], flush=True)
    await asyncio.Future()

asyncio.run(main())
"#;

const NODE: &str = r#"
const {WebSocketServer} = require("ws"), fs = require("fs");
const server = new WebSocketServer(
    {host: "127.0.0.1", port: 0, maxPayload: 0}, () => console.log(server.address().port));
server.on("connection", socket => {
    let messages = 0, size = 0, pings = 0, pongs = 0;
    socket.on("message", (data, binary) => {
        messages += 1;
        size += data.length;
        if (messages % 10 == 0) {
            pings += 1;
            socket.ping(String(messages));
        }
        if (messages % 3 == 0) {
            const half = data.length >> 1;
            socket.send(data.subarray(0, half), {binary, fin: false});
            socket.send(data.subarray(half), {binary, fin: true});
        } else {
            socket.send(data, {binary});
        }
    });
    socket.on("pong", () => pongs += 1);
    socket.on("close", code => {
        fs.appendFileSync("log", `${messages} ${size} ${pings} ${pongs} ${code}\n`);
    });
});
"#;

/// The server has got each message that the record counts, an answer to each of its pings, and of
/// each connection an end in order.
#[track_caller]
fn expect_what_the_server_counts(server: &HttpServer) {
    let log = server.path().join("log");
    for flags in [
        "-c 1",
        "-c 4 --pipeline 8 --size 1..300",
        "-c 4 --size 60KiB..70KiB",
        "-c 4 --ws-text --size 1..2KiB",
        "-c 4 --churn 15 --rate 500 --size 50",
    ] {
        let _ = fs::remove_file(&log);
        let target = format!("ws://{}/", server.target());
        let short = "--http-header Origin:http://loadgen.example --duration 300ms --json -";
        let words = ["run", &target].into_iter().chain(short.split(' '));
        let finished = loadgen(&words.chain(flags.split(' ')).collect::<Vec<_>>());
        expect_no_errors(&finished);
        let record = finished.json();
        expect_conserved(&record);
        let (sent, connects) = (count(&record, "sent"), count(&record, "connects"));
        assert_eq!(count(&record, "completed"), sent, "{flags}");
        assert!(sent > 20, "{flags}: {record}");
        let text = || fs::read_to_string(&log).unwrap_or_default();
        until(|| text().lines().count() as u64 >= connects);
        let text = text();
        let column = |number: usize| -> Vec<u64> {
            let words = text.lines().map(|line| line.split(' ').nth(number).unwrap());
            words.map(|word| word.parse().unwrap()).collect()
        };
        let sum = |number: usize| column(number).iter().sum::<u64>();
        assert_eq!(sum(0), sent, "{flags}: {text}");
        assert!(sum(1) < count(&record, "bytes_sent"), "{flags}: {text}");
        assert!(sum(2) > 0, "{flags}: {text}");
        assert_eq!(sum(2), sum(3), "{flags}: a pong for each ping: {text}");
        assert!(column(4).iter().all(|&code| code == 1000), "{flags}: {text}");
    }
}

#[test]
fn python_has_got_each_message_of_the_record() {
    let Some(python) = test_needs::python_websockets() else { return };
    let server = HttpServer::script_by(python, &["script"], PYTHON);
    expect_what_the_server_counts(&server);
    let finished = loadgen(&["run", &format!("ws://{}", server.target()), "--duration", "1s"]);
    expect_one_line(&finished, 1, "'HTTP/1.1 403 Forbidden'; does it want credentials, or another");
}

#[test]
fn node_has_got_each_message_of_the_record() {
    let Some(node) = test_needs::node_ws() else { return };
    expect_what_the_server_counts(&HttpServer::script_by(node, &["script"], NODE));
}
