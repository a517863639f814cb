//! Certificates replaced while serving, and certificates of clients.

use super::*;
use crate::certificate::Clients;

#[tokio::test]
async fn a_pair_that_does_not_match_is_not_taken_up_and_the_right_one_is() {
    let server = Server::start(ConnectionLimits::default());
    let (other, other_tls) = self_signed();
    let old = server.tls.not_after();
    assert_eq!(server.tls.reload().unwrap(), Changed::No);
    let copy =
        |file: &str| std::fs::copy(other.path().join(file), server.directory.path().join(file)).unwrap();
    copy("tls-certificate.pem");
    assert!(matches!(server.tls.reload(), Err(Error::Mismatch { .. })));
    assert_eq!(server.tls.not_after(), old);
    server.get_promptly().await;
    copy("tls-key.pem");
    assert_eq!(server.tls.reload().unwrap(), Changed::Yes);
    assert_eq!(server.tls.not_after(), other_tls.not_after());
    assert!(server.secured_as("localhost", BOTH, H1).await.is_err(), "the old copy verifies it no longer");
    let authority = CertificateDer::from_pem_file(other.path().join("tls-certificate.pem")).unwrap();
    let server = Server { authority, ..server };
    server.get_promptly().await;
    std::fs::remove_file(server.directory.path().join("tls-key.pem")).unwrap();
    assert!(server.tls.reload().is_err());
    server.get_promptly().await;
    server.stop().await;
}

#[tokio::test]
async fn client_certificates_are_asked_for_and_checked() {
    let (directory, _) = self_signed();
    let (clients, _) = self_signed();
    let files = Files {
        clients: Some(Clients {
            authorities: Some(clients.path().join("tls-certificate.pem").into()),
            required: true,
            names: Vec::new(),
        }),
        ..SelfSigned::new(directory.path()).files()
    };
    let server = Server::start_with(ConnectionLimits::default(), directory, Tls::load(files).unwrap());
    let key = rcgen::KeyPair::generate().unwrap();
    let mut authority = rcgen::CertificateParams::default();
    authority.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let client_key = rcgen::KeyPair::generate().unwrap();
    let issuer = rcgen::Issuer::from_params(&authority, &key);
    let client = rcgen::CertificateParams::new(vec!["scraper".to_owned()]).unwrap();
    let client = client.signed_by(&client_key, &issuer).unwrap();
    let status = async |with_certificate: bool| {
        let config = ClientConfig::builder_with_provider(provider()).with_protocol_versions(BOTH).unwrap();
        let config = config.with_root_certificates(server.roots());
        let config = if with_certificate {
            let key = PrivateKeyDer::try_from(client_key.serialize_der()).unwrap();
            config.with_client_auth_cert(vec![client.der().clone()], key).unwrap()
        } else {
            config.with_no_client_auth()
        };
        let mut stream = connect(server.tcp().await, "localhost", config).await.unwrap();
        let request = b"GET /hello HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
        let _ = stream.write_all(request).await;
        let mut answer = String::new();
        let _ = timeout(PATIENCE, stream.read_to_string(&mut answer)).await.unwrap();
        answer
    };
    assert_eq!(status(false).await, "", "no certificate");
    assert_eq!(status(true).await, "", "a certificate of somebody else");
    assert_eq!(server.counters.handshake_failures.get(), 2);
    // Each refused client learns why, also one that has sent its request by then.
    for _ in 0..40 {
        let config =
            ClientConfig::builder_with_provider(provider()).with_protocol_versions(&[&TLS13]).unwrap();
        let config = config.with_root_certificates(server.roots()).with_no_client_auth();
        let mut stream = connect(server.tcp().await, "localhost", config).await.unwrap();
        let _ = stream.write_all(&[b'x'; 10_000]).await;
        let error = timeout(PATIENCE, stream.read_u8()).await.unwrap().unwrap_err().to_string();
        assert!(error.contains("CertificateRequired"), "{error}");
    }
    let authority = authority.self_signed(&key).unwrap();
    std::fs::write(clients.path().join("tls-certificate.pem"), authority.pem()).unwrap();
    assert_eq!(server.tls.reload().unwrap(), Changed::Yes);
    assert!(status(true).await.ends_with("hello"));
    server.stop().await;
}
