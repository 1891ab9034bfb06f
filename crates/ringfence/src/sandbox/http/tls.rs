//! TLS as a client: the system's certificate authorities, and never unverified.

use std::ffi::OsString;
use std::io;
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::client::Resumption;
use tokio_rustls::rustls::pki_types::ServerName;
use tokio_rustls::rustls::{self, ClientConfig, RootCertStore};
use tokio_rustls::{TlsConnector, rustls::crypto::ring};
use wasmtime_wasi_http::Error;

/// Where the authorities are read from, unless the system's places do.
const PLACES: [&str; 2] = ["SSL_CERT_FILE", "SSL_CERT_DIR"];

/// What was in [`PLACES`] when the authorities were read.
type Places = [Option<OsString>; 2];

static READY: Mutex<Option<(Places, Arc<ClientConfig>)>> = Mutex::new(None);

/// Reads the certificate authorities, unless that was done. It takes some milliseconds and opens files: a process
/// that is about to lose them does it before.
pub fn prepare() -> Result<(), Error> {
    config().map(drop)
}

/// Speaks TLS over a connection, as a client of this host.
pub(super) async fn connect<S>(stream: S, host: &url::Host<&str>) -> Result<TlsStream<S>, Error>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let name = match *host {
        url::Host::Domain(name) => ServerName::try_from(name.to_owned()).map_err(|_| Error::HttpRequestUriInvalid)?,
        url::Host::Ipv4(address) => ServerName::from(address),
        url::Host::Ipv6(address) => ServerName::from(address),
    };
    let config = match ready() {
        Some(config) => config,
        None => tokio::task::spawn_blocking(config).await.map_err(|_| Error::ConfigurationError)??,
    };
    TlsConnector::from(config).connect(name, stream).await.map_err(|error| failed(&error))
}

/// What was read before, if it was read from where it would be now.
fn ready() -> Option<Arc<ClientConfig>> {
    let places = PLACES.map(std::env::var_os);
    let ready = READY.lock().unwrap_or_else(|broken| broken.into_inner());
    ready.as_ref().filter(|(read, _)| *read == places).map(|(_, config)| config.clone())
}

fn config() -> Result<Arc<ClientConfig>, Error> {
    if let Some(config) = ready() {
        return Ok(config);
    }
    let places = PLACES.map(std::env::var_os);
    let mut authorities = RootCertStore::empty();
    let (usable, _) = authorities.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    if usable == 0 {
        return Err(Error::ConfigurationError);
    }
    let mut config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|_| Error::ConfigurationError)?
        .with_root_certificates(authorities)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    // A ticket would tell a server that two runs are of one host.
    config.resumption = Resumption::disabled();
    let config = Arc::new(config);
    *READY.lock().unwrap_or_else(|broken| broken.into_inner()) = Some((places, config.clone()));
    Ok(config)
}

/// What a failed handshake is to the guest.
fn failed(error: &io::Error) -> Error {
    match error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>()) {
        Some(rustls::Error::InvalidCertificate(_) | rustls::Error::NoCertificatesPresented) => {
            Error::TlsCertificateError
        }
        Some(rustls::Error::AlertReceived(alert)) => {
            Error::TlsAlertReceived { alert_id: Some(u8::from(*alert)), alert_message: None }
        }
        Some(_) => Error::TlsProtocolError,
        None => Error::ConnectionTerminated,
    }
}
