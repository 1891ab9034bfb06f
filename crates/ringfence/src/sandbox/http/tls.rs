//! TLS as a client: the system's certificate authorities, and never unverified.

use std::ffi::OsString;
use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::client::Resumption;
use tokio_rustls::rustls::pki_types::ServerName;
use tokio_rustls::rustls::{self, ClientConfig, RootCertStore};
use tokio_rustls::{TlsConnector, rustls::crypto::ring};
use wasmtime_wasi_http::Error;

use crate::process_unsafe::PerProcess;

/// Where the authorities are read from, unless the system's places do.
const PLACES: [&str; 2] = ["SSL_CERT_FILE", "SSL_CERT_DIR"];

/// A file and a directory of authorities; where neither is named, the system's own are read.
pub type Places = [Option<OsString>; 2];

/// The authorities of this process.
#[derive(Default)]
struct Authorities {
    /// Where they are read from for good, instead of where the environment says each time.
    fixed: Option<Places>,
    /// What was read, and from where. None is a reading that found none.
    read: Option<(Places, Option<Arc<ClientConfig>>)>,
}

static AUTHORITIES: PerProcess<Mutex<Authorities>> = PerProcess::new();

/// Where our own environment says that authorities are.
pub fn places() -> Places {
    PLACES.map(std::env::var_os)
}

/// Reads the authorities from there, now and for good: for a process that is about to lose its files and has no
/// environment. Where there are none, requests will say so.
pub fn read_authorities(places: Places) {
    let config = read(&places);
    let mut authorities = AUTHORITIES.get().lock().unwrap_or_else(|broken| broken.into_inner());
    *authorities = Authorities { fixed: Some(places.clone()), read: Some((places, config)) };
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
        None => tokio::task::spawn_blocking(config).await.map_err(|_| Error::ConfigurationError)?,
    };
    let config = config.ok_or(Error::ConfigurationError)?;
    TlsConnector::from(config).connect(name, stream).await.map_err(|error| failed(&error))
}

/// What was read before, if it was read from where it would be now.
fn ready() -> Option<Option<Arc<ClientConfig>>> {
    let authorities = AUTHORITIES.get().lock().unwrap_or_else(|broken| broken.into_inner());
    let (from, config) = authorities.read.as_ref()?;
    (authorities.fixed.is_some() || *from == places()).then(|| config.clone())
}

fn config() -> Option<Arc<ClientConfig>> {
    let places = places();
    let config = read(&places);
    // What was not found may be there next time.
    if config.is_some() {
        let mut authorities = AUTHORITIES.get().lock().unwrap_or_else(|broken| broken.into_inner());
        authorities.read = Some((places, config.clone()));
    }
    config
}

/// A client that trusts the authorities that are there; none where there are none.
fn read(places: &Places) -> Option<Arc<ClientConfig>> {
    let [file, dir] = places.each_ref().map(|place| place.as_deref().map(Path::new));
    let found = match (file, dir) {
        (None, None) => rustls_native_certs::load_native_certs(),
        (file, dir) => rustls_native_certs::load_certs_from_paths(file, dir),
    };
    let mut authorities = RootCertStore::empty();
    let (usable, _) = authorities.add_parsable_certificates(found.certs);
    if usable == 0 {
        return None;
    }
    let mut config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .ok()?
        .with_root_certificates(authorities)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    // A ticket would tell a server that two runs are of one host.
    config.resumption = Resumption::disabled();
    Some(Arc::new(config))
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
