//! Which clients may connect: verifiers of client certificates. Besides certificates of one authority, two kinds can
//! be accepted: any certificate (requested, but not verified), and certificates that carry one of some names.

use std::sync::Arc;

use tokio_rustls::rustls::client::danger::HandshakeSignatureValid;
use tokio_rustls::rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use tokio_rustls::rustls::pki_types::{CertificateDer, UnixTime};
use tokio_rustls::rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use tokio_rustls::rustls::{
    CertificateError, DigitallySignedStruct, DistinguishedName, Error, SignatureScheme,
};
use yasna::{BERReader, Tag};

use super::policy::provider;

/// A client has to prove that it has the key of its certificate. Who signed that certificate does not matter.
#[derive(Debug)]
pub(super) struct AnyCertificate {
    required: bool,
    provider: Arc<CryptoProvider>,
}

impl AnyCertificate {
    /// Whether a certificate is `required`, or only asked for.
    pub(super) fn new(required: bool) -> Self {
        Self { required, provider: provider() }
    }
}

impl ClientCertVerifier for AnyCertificate {
    fn client_auth_mandatory(&self) -> bool {
        self.required
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        Ok(ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, certificate, signed, &self.provider.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, certificate, signed, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

/// Of the clients that another verifier lets in, those whose certificate carries one of some names.
#[derive(Debug)]
pub(super) struct AllowedNames {
    pub(super) inner: Arc<dyn ClientCertVerifier>,
    /// Subject alternative names: DNS names, addresses, e-mail addresses, URIs; compared as they are written.
    pub(super) names: Vec<String>,
}

impl ClientCertVerifier for AllowedNames {
    fn client_auth_mandatory(&self) -> bool {
        self.inner.client_auth_mandatory()
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        self.inner.root_hint_subjects()
    }

    fn verify_client_cert(
        &self,
        certificate: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        let verified = self.inner.verify_client_cert(certificate, intermediates, now)?;
        let names =
            subject_names(certificate).ok_or(Error::InvalidCertificate(CertificateError::BadEncoding))?;
        if names.iter().any(|name| self.names.contains(name)) {
            Ok(verified)
        } else {
            Err(Error::InvalidCertificate(CertificateError::ApplicationVerificationFailure))
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.inner.verify_tls12_signature(message, certificate, signed)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.inner.verify_tls13_signature(message, certificate, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.inner.supported_verify_schemes()
    }
}

/// `subjectAltName` (RFC 5280, 4.2.1.6).
const SUBJECT_ALT_NAME: [u64; 4] = [2, 5, 29, 17];

/// The subject alternative names of a certificate, none if it has none; `None` if it cannot be read.
fn subject_names(certificate: &[u8]) -> Option<Vec<String>> {
    yasna::parse_der(certificate, |reader| {
        reader.read_sequence(|outer| {
            let names = outer.next().read_sequence(|fields| {
                let mut names = Vec::new();
                // Version and extensions are tagged, all between them is not. [3] holds the extensions.
                while let Some(field) = fields.read_optional(|field| {
                    let tag = field.lookahead_tag()?;
                    if tag == Tag::context(3) {
                        field.read_tagged(tag, extensions).map(Some)
                    } else {
                        field.read_der().map(|_| None)
                    }
                })? {
                    names.extend(field.into_iter().flatten());
                }
                Ok(names)
            })?;
            for _algorithm_signature in 0..2 {
                outer.next().read_der()?;
            }
            Ok(names)
        })
    })
    .ok()
}

/// The names in the extension that holds them.
fn extensions(reader: BERReader<'_, '_>) -> yasna::ASN1Result<Vec<String>> {
    let mut names = Vec::new();
    reader.read_sequence_of(|extension| {
        let (oid, value) = extension.read_sequence(|fields| {
            let oid = fields.next().read_oid()?;
            fields.read_optional(|critical| critical.read_bool())?;
            Ok((oid, fields.next().read_bytes()?))
        })?;
        if oid.components().as_slice() == SUBJECT_ALT_NAME {
            names.extend(
                yasna::parse_der(&value, |reader| reader.collect_sequence_of(general_name))?
                    .into_iter()
                    .flatten(),
            );
        }
        Ok(())
    })?;
    Ok(names)
}

/// One name, if it is of a kind that can be allowed.
fn general_name(reader: BERReader<'_, '_>) -> yasna::ASN1Result<Option<String>> {
    let tag = reader.lookahead_tag()?;
    match tag.tag_number {
        // rfc822Name, dNSName, uniformResourceIdentifier.
        1 | 2 | 6 => {
            let text = reader.read_tagged_implicit(tag, |reader| reader.read_ia5_string())?;
            Ok(Some(text))
        }
        7 => {
            let bytes = reader.read_tagged_implicit(tag, |reader| reader.read_bytes())?;
            let address = <[u8; 4]>::try_from(bytes.as_slice()).map(std::net::IpAddr::from);
            let address =
                address.or_else(|_| <[u8; 16]>::try_from(bytes.as_slice()).map(std::net::IpAddr::from));
            Ok(address.ok().map(|address| address.to_string()))
        }
        _ => reader.read_der().map(|_| None),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use rcgen::{CertificateParams, KeyPair, SanType};

    use super::*;

    #[test]
    fn all_kinds_of_names_are_read() {
        let mut params = CertificateParams::new(vec!["one.example.org".to_owned()]).unwrap();
        params.subject_alt_names.extend([
            SanType::IpAddress("192.0.2.7".parse().unwrap()),
            SanType::IpAddress("2001:db8::1".parse().unwrap()),
            SanType::Rfc822Name("a@example.org".try_into().unwrap()),
            SanType::URI("spiffe://example.org/scraper".try_into().unwrap()),
        ]);
        params.key_usages = vec![rcgen::KeyUsagePurpose::DigitalSignature];
        let certificate = params.self_signed(&KeyPair::generate().unwrap()).unwrap();
        assert_eq!(
            subject_names(certificate.der()).unwrap(),
            ["one.example.org", "192.0.2.7", "2001:db8::1", "a@example.org", "spiffe://example.org/scraper"]
        );
        let nameless = CertificateParams::default().self_signed(&KeyPair::generate().unwrap()).unwrap();
        assert_eq!(subject_names(nameless.der()).unwrap(), [""; 0]);
        assert_eq!(subject_names(b"no certificate"), None);
    }
}
