//! What right clients, and clients that mistook the port, see.

use super::*;

#[tokio::test]
async fn both_versions_and_both_protocols_are_spoken_and_verified_by_a_copy_of_the_certificate() {
    let server = Server::start(ConnectionLimits::default());
    for (version, expected) in [(&TLS12, ProtocolVersion::TLSv1_2), (&TLS13, ProtocolVersion::TLSv1_3)] {
        for name in ["localhost", "127.0.0.1", "::1", "web"] {
            let stream = server.secured_as(name, &[version], H1).await.unwrap();
            assert_eq!(stream.get_ref().1.protocol_version(), Some(expected));
            assert_eq!(get_on(stream, "/hello").await, (StatusCode::OK, "hello".to_owned()));
        }
    }
    assert!(server.secured_as("elsewhere", BOTH, H1).await.is_err());
    let stream = server.secured(H2).await;
    assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
    let executor = TokioExecutor::new();
    let (mut sender, connection) =
        hyper::client::conn::http2::handshake(executor, TokioIo::new(stream)).await.unwrap();
    let connection = tokio::spawn(connection);
    let request = Request::get("https://localhost/hello").body(Empty::<Bytes>::new()).unwrap();
    let response = timeout(PATIENCE, sender.send_request(request)).await.unwrap().unwrap();
    assert_eq!((response.status(), response.version()), (StatusCode::OK, Version::HTTP_2));
    assert_eq!(response.collect().await.unwrap().to_bytes(), "hello");
    drop(sender);
    timeout(PATIENCE, connection).await.unwrap().unwrap().unwrap();
    // A client without ALPN gets HTTP/1.1.
    assert_eq!(get_on(server.secured(&[]).await, "/hello").await.1, "hello");
    server.stop().await;
}

#[tokio::test]
async fn an_answer_to_head_has_its_length_and_no_body_with_either_protocol() {
    let server = Server::start(ConnectionLimits::default());
    let request = || Request::head("https://localhost/hello").body(Empty::<Bytes>::new()).unwrap();
    let (executor, io) = (TokioExecutor::new(), TokioIo::new(server.secured(H2).await));
    let (mut sender, connection) = hyper::client::conn::http2::handshake(executor, io).await.unwrap();
    let connection = tokio::spawn(connection);
    for _ in 0..2 {
        let response = timeout(PATIENCE, sender.send_request(request())).await.unwrap().unwrap();
        assert_eq!(
            (response.status(), &response.headers()["content-length"]),
            (StatusCode::OK, &"5".parse().unwrap())
        );
        assert_eq!(response.collect().await.unwrap().to_bytes(), "");
    }
    drop(sender);
    timeout(PATIENCE, connection).await.unwrap().unwrap().unwrap();
    let mut stream = server.secured(H1).await;
    stream.write_all(b"HEAD /hello HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").await.unwrap();
    let answer = read_to_close(&mut stream).await;
    assert!(answer.contains("content-length: 5\r\n") && answer.ends_with("\r\n\r\n"), "{answer}");
    assert_eq!(server.counters.protocol_errors.get(), 0);
    server.stop().await;
}

#[tokio::test]
async fn a_client_that_offers_only_the_oldest_protocol_is_served() {
    let server = Server::start(ConnectionLimits::default());
    let mut stream = server.secured(&[b"http/1.0"]).await;
    stream.write_all(b"GET /hello HTTP/1.0\r\n\r\n").await.unwrap();
    let answer = read_to_close(&mut stream).await;
    assert!(answer.starts_with("HTTP/1.0 200 ") && answer.ends_with("hello"), "{answer}");
    server.stop().await;
}

#[tokio::test]
async fn routes_learn_the_address_of_their_client() {
    let server = Server::start(ConnectionLimits::default());
    let stream = server.secured(H1).await;
    let address = stream.get_ref().0.local_addr().unwrap().to_string();
    assert_eq!(get_on(stream, "/peer").await, (StatusCode::OK, address));
    server.stop().await;
}

#[tokio::test]
async fn plain_http_is_told_to_use_https() {
    let server = Server::start(ConnectionLimits::default());
    let mut stream = server.tcp().await;
    stream.write_all(b"GET /hello HTTP/1.1\r\nHost: localhost\r\n\r\n").await.unwrap();
    let answer = read_to_close(&mut stream).await;
    assert!(answer.starts_with("HTTP/1.1 400 ") && answer.contains("https://"), "{answer}");
    assert_eq!(server.counters.plain_http.get(), 1);
    server.stop().await;
}

#[tokio::test]
async fn what_is_neither_tls_nor_http_is_closed_and_counted() {
    let server = Server::start(ConnectionLimits::default());
    for bytes in [&b"\x00\x01"[..], b"\x16\x03\x01\x00\x04\xff\x00\x00\x00"] {
        let mut stream = server.tcp().await;
        stream.write_all(bytes).await.unwrap();
        assert!(!read_to_close(&mut stream).await.contains("HTTP"));
    }
    // A health check that merely connects is no failure.
    drop(server.tcp().await);
    until("all three are gone", || server.counters.accepted.get() == 3 && server.counters.open.get() == 0)
        .await;
    assert_eq!(server.counters.handshake_failures.get(), 2);
    server.stop().await;
}
