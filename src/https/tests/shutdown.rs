//! The end: what is under way is finished, or cut off in time.

use super::*;

#[tokio::test]
async fn shutdown_finishes_the_answer_under_way_and_takes_nothing_new() {
    let server = Server::start(ConnectionLimits::default());
    let (asked, waiting) = (server.secured(H1).await, server.tcp().await);
    let answer = tokio::spawn(get_on(asked, "/gate"));
    until("the request is under way", || server.counters.requests.get() == 1).await;
    server.stop.send(()).unwrap();
    let address = server.address;
    let mut look = tokio::time::interval(Duration::from_millis(2));
    timeout(PATIENCE, async {
        while TcpStream::connect(address).await.is_ok() {
            look.tick().await;
        }
    })
    .await
    .unwrap();
    assert!(!server.task.is_finished());
    server.gate.add_permits(1);
    assert_eq!(answer.await.unwrap(), (StatusCode::OK, "opened".to_owned()));
    timeout(PATIENCE, server.task).await.unwrap().unwrap();
    assert_eq!((server.counters.open.get(), server.counters.cut_off.get()), (0, 0));
    drop(waiting);
}

#[tokio::test]
async fn shutdown_cuts_off_what_does_not_finish_in_time() {
    let server =
        Server::start(ConnectionLimits { drain: Duration::from_millis(100), ..ConnectionLimits::default() });
    let mut streams = Vec::new();
    for alpn in [H1, H2] {
        let stream = server.secured(alpn).await;
        if alpn == H1 {
            let mut stream = stream;
            stream.write_all(b"GET /gate HTTP/1.1\r\nHost: localhost\r\n\r\n").await.unwrap();
            streams.push(tokio::spawn(async move { drop(read_to_close(&mut stream).await) }));
        } else {
            let (mut client, connection) = h2::client::handshake(stream).await.unwrap();
            let request = Request::get("https://localhost/gate").body(()).unwrap();
            let (answer, _) = client.send_request(request, true).unwrap();
            tokio::spawn(connection);
            streams.push(tokio::spawn(async move { assert!(answer.await.is_err()) }));
        }
    }
    until("both are under way", || server.counters.requests.get() == 2).await;
    let (counters, gate) = (Arc::clone(&server.counters), Arc::clone(&server.gate));
    server.stop().await;
    assert_eq!(counters.cut_off.get(), 2);
    for stream in streams {
        timeout(PATIENCE, stream).await.unwrap().unwrap();
    }
    until("no route holds on to the gate", || Arc::strong_count(&gate) == 1).await;
}
