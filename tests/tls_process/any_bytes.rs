//! What any bytes mean as certificates, keys and authorities.

use std::sync::LazyLock;

use evshard::tls::{Identity, TlsError, TlsServer, TrustRoots};
use proptest::prelude::*;
use test_inputs::like;

use crate::files::Authority;

/// Certificates and keys in PEM, and their beginnings and ends.
fn examples() -> &'static [&'static [u8]] {
    static EXAMPLES: LazyLock<Vec<&[u8]>> = LazyLock::new(|| {
        let authority = Authority::new();
        let issued = ["localhost", "*.example", "127.0.0.1"].map(|name| authority.issue(name));
        let first = issued[0].certificate.clone() + &issued[0].key;
        let mut texts = vec![authority.pem.clone(), first];
        texts.extend(issued.into_iter().flat_map(|issued| [issued.certificate, issued.key]));
        texts.push("-----BEGIN CERTIFICATE-----\n".to_owned());
        texts.push("-----END PRIVATE KEY-----\n-----BEGIN \x1b[2J-----\n".to_owned());
        texts.push("-----BEGIN EC PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\n\n".to_owned());
        texts.into_iter().map(|text| text.leak().as_bytes()).collect()
    });
    &EXAMPLES
}

/// An error is one line that a terminal shows as it is.
fn expect_line(error: &TlsError) {
    let line = error.to_string();
    assert!(!line.chars().any(char::is_control) && line.contains("; "), "{line:?}");
}

proptest! {
    #[test]
    fn any_bytes_are_an_identity_with_which_a_server_can_be_made_or_an_error(
        certificates in like(examples()), key in like(examples()),
    ) {
        let default = Identity::from_pem(examples()[1], examples()[1]).expect("it is whole");
        for key in [&key, &certificates] {
            let identity = match Identity::from_pem(&certificates, key) {
                Ok(identity) => identity,
                Err(error) => {
                    expect_line(&error);
                    continue;
                }
            };
            for builder in [
                TlsServer::builder(identity.clone()),
                TlsServer::builder(default.clone()).identity(identity),
            ] {
                builder.build().map(drop).unwrap_or_else(|error| expect_line(&error));
            }
        }
    }

    #[test]
    fn any_bytes_are_authorities_with_which_a_server_can_be_made_or_an_error(
        bytes in like(examples()),
    ) {
        let identity = Identity::from_pem(examples()[1], examples()[1]).expect("it is whole");
        match TrustRoots::from_pem(&bytes) {
            Ok(roots) => {
                let builder = TlsServer::builder(identity).require_client_certificate(roots);
                builder.build().map(drop).unwrap_or_else(|error| expect_line(&error));
            }
            Err(error) => expect_line(&error),
        }
    }
}
