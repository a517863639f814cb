//! Silent, slow, flooding and greedy clients: a right request is prompt beside all of them.

use super::*;

#[tokio::test]
async fn five_hundred_silent_slow_and_half_connections_delay_no_right_request() {
    let server = Server::start(ConnectionLimits::default());
    let (mut silent, mut slow) = (Vec::new(), Vec::new());
    for round in 0..500 {
        if round % 5 > 0 {
            silent.push(server.tcp().await);
            continue;
        }
        let mut stream = server.secured(H1).await;
        let begun: &[u8] = match round % 3 {
            0 => b"",
            1 => b"GET /hello HTTP/1.1\r\nHost: local",
            _ => b"POST /gate HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n\r\nhalf",
        };
        stream.write_all(begun).await.unwrap();
        slow.push(stream);
    }
    until("all 500 are there", || server.counters.accepted.get() == 500).await;
    let evictions = server.counters.evicted_per_client.get();
    assert!(server.counters.open.get() <= 256 && evictions >= 244, "{evictions}");
    for _ in 0..5 {
        server.get_promptly().await;
    }
    server.gate.add_permits(500);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lasting_flood_of_connections_delays_no_right_request() {
    let server = Server::start(ConnectionLimits::default());
    let address = server.address;
    let flood = tokio::spawn(async move {
        let mut held = std::collections::VecDeque::new();
        // Five hundred a second: a flood that takes all places of a client in half a second, however slow the
        // machine that also has to answer is.
        let mut pace = tokio::time::interval(Duration::from_millis(2));
        pace.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            pace.tick().await;
            if let Ok(stream) = TcpStream::connect(address).await {
                held.push_back(stream);
            }
            if held.len() > 300 {
                held.pop_front();
            }
        }
    });
    until("the flood is in", || server.counters.evicted_per_client.get() > 200).await;
    for _ in 0..10 {
        server.get_promptly().await;
    }
    flood.abort();
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flood_from_elsewhere_as_fast_as_it_can_takes_no_place_of_a_right_request() {
    let server = Server::start(ConnectionLimits::default());
    let address = server.address;
    let flood = tokio::spawn(async move {
        let mut held = std::collections::VecDeque::new();
        // Bounded, because each leaves a port behind that is not to be had for a while.
        for _ in 0..10_000 {
            let socket = tokio::net::TcpSocket::new_v4().unwrap();
            socket.bind("127.0.0.2:0".parse().unwrap()).unwrap();
            if let Ok(stream) = socket.connect(address).await {
                held.push_back(stream);
            }
            if held.len() > 300 {
                held.pop_front();
            }
        }
    });
    until("the flood is in", || server.counters.evicted_per_client.get() > 200).await;
    let mut answered = 0;
    while !flood.is_finished() {
        server.get_promptly().await;
        answered += 1;
    }
    assert!(answered > 0, "the flood was over before it was measured");
    flood.await.unwrap();
    server.stop().await;
}

#[tokio::test]
async fn the_oldest_silent_connection_makes_room_at_each_limit() {
    for (connections, connections_per_client) in [(2, 5), (5, 2)] {
        let server = Server::start(ConnectionLimits {
            connections,
            connections_per_client,
            ..ConnectionLimits::default()
        });
        let mut first = server.tcp().await;
        until("the first is in", || server.counters.open.get() == 1).await;
        let second = server.tcp().await;
        server.get_promptly().await;
        assert_eq!(read_to_close(&mut first).await, "");
        let counters = &server.counters;
        let evicted = [counters.evicted_overall.get(), counters.evicted_per_client.get()];
        assert_eq!(evicted, if connections == 2 { [1, 0] } else { [0, 1] });
        drop(second);
        server.stop().await;
    }
}

#[tokio::test]
async fn accepting_pauses_only_when_the_same_error_would_come_again() {
    use rustix::io::Errno;
    let mut acceptor = crate::Acceptor { listeners: Vec::new(), next: 0, pause: None, told: None };
    assert!(!acceptor.back_off(&Errno::CONNABORTED.into()) && acceptor.pause.is_none());
    for _ in 0..20 {
        assert!(acceptor.back_off(&Errno::MFILE.into()));
    }
    assert_eq!(acceptor.pause.map(|(length, _)| length), Some(crate::PAUSE.1));
    // An error that nobody knows may come for ever: it pauses, too, and closing connections would not help.
    acceptor.pause = None;
    assert!(!acceptor.back_off(&Errno::INVAL.into()));
    assert_eq!(acceptor.pause.map(|(length, _)| length), Some(crate::PAUSE.0));
}

#[tokio::test]
async fn a_known_client_keeps_its_connection_while_strangers_come() {
    let server = Server::start(ConnectionLimits { connections: 4, ..ConnectionLimits::default() });
    let stream = TokioIo::new(server.secured(H1).await);
    let (mut sender, connection) = hyper::client::conn::http1::handshake(stream).await.unwrap();
    let connection = tokio::spawn(connection);
    for path in ["/known", "/hello"] {
        let request = Request::get(path).header("host", "localhost").body(Empty::<Bytes>::new()).unwrap();
        let response = timeout(PATIENCE, sender.send_request(request)).await.unwrap().unwrap();
        assert_eq!(response.status(), StatusCode::OK);
        response.collect().await.unwrap();
        let before = server.counters.accepted.get();
        let mut strangers = Vec::new();
        for _ in 0..10 {
            strangers.push(server.tcp().await);
        }
        until("strangers are in", || server.counters.accepted.get() == before + 10).await;
    }
    drop(sender);
    timeout(PATIENCE, connection).await.unwrap().unwrap().unwrap();
    server.stop().await;
}

#[tokio::test]
async fn each_phase_that_takes_too_long_is_ended_and_counted() {
    let (short, handshake) = (Duration::from_millis(400), Duration::from_secs(1));
    let limits = ConnectionLimits {
        handshake,
        header: short,
        idle: short,
        answer: short,
        ..ConnectionLimits::default()
    };
    let server = Server::start(limits);
    let counters = &server.counters;
    assert_eq!(read_to_close(&mut server.tcp().await).await, "");
    assert_eq!(counters.handshake_timeouts.get(), 1);
    // Secured, and then nothing.
    read_to_close(&mut server.secured(H2).await).await;
    assert_eq!(counters.header_timeouts.get(), 1);
    // A byte now and then does not help, at the first header nor at a later one.
    for begin in [&b""[..], b"GET /hello HTTP/1.1\r\nHost: localhost\r\n\r\n"] {
        let mut stream = server.secured(H1).await;
        stream.write_all(begin).await.unwrap();
        if !begin.is_empty() {
            let mut answer = Vec::new();
            while !answer.ends_with(b"hello") {
                timeout(PATIENCE, stream.read_buf(&mut answer)).await.unwrap().unwrap();
            }
        }
        trickle(&mut stream).await;
    }
    assert_eq!(counters.header_timeouts.get(), 3);
    // An idle connection is closed after its answer, as it should be by TLS.
    let mut stream = server.secured(H1).await;
    stream.write_all(b"GET /hello HTTP/1.1\r\nHost: localhost\r\n\r\n").await.unwrap();
    assert!(read_to_close(&mut stream).await.ends_with("hello"));
    assert_eq!(counters.idle_timeouts.get(), 1);
    // An answer that is not given, and one that is not taken.
    let mut stream = server.secured(H1).await;
    stream.write_all(b"GET /gate HTTP/1.1\r\nHost: localhost\r\n\r\n").await.unwrap();
    assert_eq!(read_to_close(&mut stream).await, "");
    let mut stalled = server.secured(H1).await;
    stalled.write_all(b"GET /large HTTP/1.1\r\nHost: localhost\r\n\r\n").await.unwrap();
    let mut unwilling = h2::client::Builder::new();
    unwilling.initial_window_size(0);
    let (mut client, connection) = unwilling.handshake::<_, Bytes>(server.secured(H2).await).await.unwrap();
    let request = Request::get("https://localhost/hello").body(()).unwrap();
    let _untaken = client.send_request(request, true).unwrap();
    assert!(timeout(PATIENCE, connection).await.unwrap().is_err());
    until("three answers are given up", || counters.answer_timeouts.get() == 3).await;
    drop(stalled);
    server.stop().await;
}

#[tokio::test]
async fn a_request_that_came_while_the_process_stood_still_is_answered() {
    let header = Duration::from_secs(2);
    let server = Server::start(ConnectionLimits { header, ..ConnectionLimits::default() });
    let mut streams = Vec::new();
    for _ in 0..8 {
        streams.push(server.secured(H1).await);
    }
    for stream in &mut streams {
        stream
            .write_all(b"GET /known HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
            .await
            .unwrap();
    }
    // The server runs on this thread, too.
    let stopped = Instant::now();
    while stopped.elapsed() < header {
        std::hint::spin_loop();
    }
    for mut stream in streams {
        assert!(read_to_close(&mut stream).await.ends_with("known"));
    }
    server.stop().await;
}

/// Sends a header without end, byte by byte, until the other side closes.
async fn trickle(stream: &mut TlsStream<TcpStream>) {
    let mut tick = tokio::time::interval(Duration::from_millis(20));
    let closed = async {
        loop {
            tokio::select! {
                read = stream.read_u8() => if read.is_err() { return },
                _ = tick.tick() => {}
            }
            if stream.write_all(b"G").await.is_err() {
                return;
            }
        }
    };
    timeout(PATIENCE, closed).await.expect("closed in time");
}

#[tokio::test]
async fn a_header_that_is_too_large_is_refused() {
    let server = Server::start(ConnectionLimits::default());
    for path in ["x".repeat(20_000), "x".repeat(1 << 20)] {
        let mut stream = server.secured(H1).await;
        let request = format!("GET /hello?key={path} HTTP/1.1\r\nHost: localhost\r\n\r\n");
        // The answer may come before all is written.
        let _ = timeout(PATIENCE, stream.write_all(request.as_bytes())).await.unwrap();
        let answer = read_to_close(&mut stream).await;
        assert!(answer.starts_with("HTTP/1.1 431 ") || answer.is_empty(), "{answer}");
        assert!(path.len() > 20_000 || !answer.is_empty(), "a client that waits gets the answer");
    }
    assert_eq!(server.counters.requests.get(), 0);
    server.get_promptly().await;
    server.stop().await;
}

#[tokio::test]
async fn ten_thousand_streams_reset_at_once_are_capped() {
    let server = Server::start(ConnectionLimits::default());
    let (mut client, connection) = h2::client::handshake(server.secured(H2).await).await.unwrap();
    let connection = tokio::spawn(connection);
    let flood = async {
        for _ in 0..10_000 {
            client = client.ready().await?;
            let request = Request::get("https://localhost/gate").body(()).unwrap();
            let (_, mut stream) = client.send_request(request, false)?;
            stream.send_reset(h2::Reason::CANCEL);
            // Lets the connection write, so that each stream is on its way before its reset.
            tokio::task::yield_now().await;
        }
        Ok::<_, h2::Error>(())
    };
    let result = timeout(PATIENCE, flood).await.unwrap();
    let ended = timeout(PATIENCE, connection).await;
    let requests = server.counters.requests.get();
    assert!(result.is_err() || matches!(ended, Ok(Ok(Err(_)))), "{requests} requests");
    assert!(requests < 10_000, "{requests}");
    server.get_promptly().await;
    server.stop().await;
}

#[tokio::test]
async fn frames_that_ask_for_nothing_end_their_connection() {
    let server = Server::start(ConnectionLimits::default());
    // WINDOW_UPDATE for the connection, PRIORITY, PING, SETTINGS.
    let frames: [&[u8]; 4] = [
        b"\0\0\x04\x08\0\0\0\0\0\0\0\0\x01",
        b"\0\0\x05\x02\0\0\0\0\x01\0\0\0\0\x10",
        b"\0\0\x08\x06\0\0\0\0\0pingpong",
        b"\0\0\0\x04\0\0\0\0\0",
    ];
    for (number, frame) in (1..).zip(frames) {
        let mut stream = server.secured(H2).await;
        stream.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0").await.unwrap();
        let (mut reader, mut writer) = tokio::io::split(stream);
        let answers = tokio::spawn(async move { read_to_close(&mut reader).await });
        let flood = async { while writer.write_all(&frame.repeat(100)).await.is_ok() {} };
        assert!(timeout(PATIENCE, flood).await.is_ok(), "no end of frames of kind {number}");
        timeout(PATIENCE, answers).await.unwrap().unwrap();
        assert_eq!(server.counters.protocol_errors.get(), number);
    }
    server.get_promptly().await;
    server.stop().await;
}

#[tokio::test]
async fn clients_that_do_not_read_their_answers_hold_few_of_them_and_not_for_long() {
    let server =
        Server::start(ConnectionLimits { answers: 4, stalled: 3 * PROMPT, ..ConnectionLimits::default() });
    let mut stalled = Vec::new();
    for _ in 0..40 {
        let mut stream = server.secured(H1).await;
        stream.write_all(b"GET /large HTTP/1.1\r\nHost: localhost\r\n\r\n").await.unwrap();
        stalled.push(stream);
    }
    let counters = &server.counters;
    until("all but four made room", || counters.evicted_readers.get() > 0 && counters.open.get() <= 4).await;
    // Who reads gets all of it meanwhile, and those four are given up.
    let (status, body) = server.get("/large").await;
    assert_eq!((status, body.len()), (StatusCode::OK, 64 << 20));
    until("nothing is held any more", || counters.open.get() == 0).await;
    assert_eq!(counters.evicted_readers.get() + counters.answer_timeouts.get(), 40);
    server.stop().await;
}

#[tokio::test]
async fn streams_of_one_connection_are_capped() {
    let server = Server::start(ConnectionLimits { streams: 4, ..ConnectionLimits::default() });
    let stream = server.secured(H2).await;
    let (mut sender, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.unwrap();
    let connection = tokio::spawn(connection);
    let request =
        |path: &str| Request::get(format!("https://localhost/{path}")).body(Empty::<Bytes>::new()).unwrap();
    // After the first answer the client knows the limit and holds further requests back by itself.
    sender.send_request(request("hello")).await.unwrap();
    let mut answers = tokio::task::JoinSet::new();
    for _ in 0..20 {
        sender.ready().await.unwrap();
        answers.spawn(sender.send_request(request("gate")));
    }
    until("four are under way", || server.counters.requests.get() == 1 + 4).await;
    server.get_promptly().await;
    assert_eq!(server.counters.requests.get(), 1 + 4 + 1, "the others wait at the client");
    server.gate.add_permits(20);
    while let Some(answer) = timeout(PATIENCE, answers.join_next()).await.unwrap() {
        assert_eq!(answer.unwrap().unwrap().status(), StatusCode::OK);
    }
    drop(sender);
    timeout(PATIENCE, connection).await.unwrap().unwrap().unwrap();
    server.stop().await;
}
