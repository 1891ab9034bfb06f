# ruff: noqa: ARG002, D103, PYI024 - the names and parameters are those of the standard library
"""TLS as this sandbox has it: the host's. What is asked for here is accepted, and certificates are always verified.

The host speaks TLS with the authorities that it trusts and the name in the URL; nothing that is set here, such as
authorities, ciphers, client certificates or `verify_mode`, changes that.
"""

import enum
import socket as _socket
from collections import namedtuple

HAS_SNI = HAS_TLSv1_2 = HAS_TLSv1_3 = HAS_ALPN = True
HAS_SSLv2 = HAS_SSLv3 = HAS_TLSv1 = HAS_TLSv1_1 = HAS_NPN = HAS_ECDH = HAS_PSK = False
HAS_NEVER_CHECK_COMMON_NAME = True
OPENSSL_VERSION = "OpenSSL 3.0.0 (the sandbox's host)"
OPENSSL_VERSION_INFO = (3, 0, 0, 0, 0)
OPENSSL_VERSION_NUMBER = 0x30000000
CHANNEL_BINDING_TYPES = []
socket_error = OSError


class SSLError(OSError):
    """A failure of TLS."""

    library = reason = None

    def __str__(self):
        return str(self.args[-1]) if self.args else ""


class SSLZeroReturnError(SSLError): ...


class SSLWantReadError(SSLError): ...


class SSLWantWriteError(SSLError): ...


class SSLSyscallError(SSLError): ...


class SSLEOFError(SSLError): ...


class SSLCertVerificationError(SSLError, ValueError):
    verify_code, verify_message = 1, "certificate verify failed"


CertificateError = SSLCertVerificationError


class VerifyMode(enum.IntEnum):
    CERT_NONE, CERT_OPTIONAL, CERT_REQUIRED = range(3)


class TLSVersion(enum.IntEnum):
    MINIMUM_SUPPORTED, SSLv3, TLSv1, TLSv1_1, TLSv1_2, TLSv1_3, MAXIMUM_SUPPORTED = -2, 768, 769, 770, 771, 772, -1


class _SSLMethod(enum.IntEnum):
    PROTOCOL_TLS, PROTOCOL_TLS_CLIENT, PROTOCOL_TLS_SERVER = 2, 16, 17
    PROTOCOL_TLSv1, PROTOCOL_TLSv1_1, PROTOCOL_TLSv1_2 = 3, 4, 5


class Options(enum.IntFlag):
    OP_ALL, OP_NO_SSLv2, OP_NO_SSLv3 = 0x80000050, 0, 0x2000000
    OP_NO_TLSv1, OP_NO_TLSv1_1, OP_NO_TLSv1_2, OP_NO_TLSv1_3 = 0x4000000, 0x10000000, 0x8000000, 0x20000000
    OP_NO_COMPRESSION, OP_NO_TICKET, OP_NO_RENEGOTIATION = 0x20000, 0x4000, 0x40000000
    OP_CIPHER_SERVER_PREFERENCE, OP_ENABLE_MIDDLEBOX_COMPAT = 0x400000, 0x100000
    OP_IGNORE_UNEXPECTED_EOF, OP_LEGACY_SERVER_CONNECT = 0x80, 4


class VerifyFlags(enum.IntFlag):
    VERIFY_DEFAULT, VERIFY_X509_STRICT, VERIFY_X509_TRUSTED_FIRST, VERIFY_X509_PARTIAL_CHAIN = 0, 0x20, 0x8000, 0x80000
    VERIFY_CRL_CHECK_LEAF, VERIFY_CRL_CHECK_CHAIN = 4, 12


for _kind in (VerifyMode, _SSLMethod, Options, VerifyFlags):
    globals().update(_kind.__members__)
PROTOCOL_SSLv23 = PROTOCOL_TLS = _SSLMethod.PROTOCOL_TLS
CERT_REQUIRED = VerifyMode.CERT_REQUIRED

_ASN1Object = namedtuple("_ASN1Object", "nid shortname longname oid")


class Purpose(enum.Enum):
    SERVER_AUTH, CLIENT_AUTH = _ASN1Object(129, "serverAuth", "", ""), _ASN1Object(130, "clientAuth", "", "")


DefaultVerifyPaths = namedtuple(
    "DefaultVerifyPaths", "cafile capath openssl_cafile_env openssl_cafile openssl_capath_env openssl_capath"
)


class SSLSession:
    """None is ever kept."""


class SSLSocket(_socket.socket):
    """A socket whose host speaks TLS."""

    _sslobj = None
    server_side, session, session_reused = False, None, False

    def selected_alpn_protocol(self):
        return "http/1.1"

    def selected_npn_protocol(self):
        return None

    def getpeercert(self, binary_form=False):
        """Know nothing of the certificate, which the host has verified."""
        return None if binary_form else {}

    def version(self):
        return "TLSv1.3"

    def cipher(self):
        return None

    def compression(self):
        return None

    def pending(self):
        return len(self._ready or b"")

    def do_handshake(self, block=False):
        """Leave it to the host."""

    def unwrap(self):
        return self

    def read(self, len=1024, buffer=None):
        return self.recv(len) if buffer is None else self.recv_into(buffer, len)

    def write(self, data):
        return self.send(data)


class SSLObject:
    """TLS without a socket, which is not there."""


class SSLContext:
    """Settings that are accepted."""

    sslsocket_class, sslobject_class = SSLSocket, SSLObject
    keylog_filename = post_handshake_auth = sni_callback = None
    security_level, num_tickets = 2, 2

    def __init__(self, protocol=None, *args, **kwargs):
        self.protocol = _SSLMethod.PROTOCOL_TLS if protocol is None else protocol
        self.verify_mode, self.check_hostname = VerifyMode.CERT_REQUIRED, True
        self.options, self.verify_flags = Options.OP_ALL, VerifyFlags.VERIFY_X509_TRUSTED_FIRST
        self.minimum_version, self.maximum_version = TLSVersion.TLSv1_2, TLSVersion.MAXIMUM_SUPPORTED
        self.hostname_checks_common_name = False

    def wrap_socket(
        self, sock, server_side=False, do_handshake_on_connect=True, suppress_ragged_eofs=True,
        server_hostname=None, session=None,
    ):  # fmt: skip
        """Have what is sent over a connected socket sent over TLS by the host."""
        if server_side or isinstance(sock, SSLSocket) or getattr(sock, "_place", None) is None:
            raise SSLError(1, "[SSL] only the host speaks TLS, as a client, over a connection of its own")
        wrapped = SSLSocket(sock.family)
        wrapped._place, wrapped._patience, wrapped._tls = sock._place, sock._patience, True
        wrapped.server_hostname, wrapped.context = server_hostname, self
        sock._closed, sock._place = True, None
        return wrapped

    def wrap_bio(self, *args, **kwargs):
        raise SSLError(1, "[SSL] only the host speaks TLS")

    def load_verify_locations(self, cafile=None, capath=None, cadata=None): ...

    def load_default_certs(self, purpose=Purpose.SERVER_AUTH): ...

    def load_cert_chain(self, certfile, keyfile=None, password=None): ...

    def load_dh_params(self, path): ...

    def set_default_verify_paths(self): ...

    def set_ciphers(self, ciphers): ...

    def set_ecdh_curve(self, name): ...

    def set_alpn_protocols(self, protocols): ...

    def set_npn_protocols(self, protocols): ...

    def set_servername_callback(self, callback): ...

    def get_ciphers(self):
        return []

    def get_ca_certs(self, binary_form=False):
        return []

    def cert_store_stats(self):
        return {"x509": 0, "crl": 0, "x509_ca": 0}

    def session_stats(self):
        return {}


def create_default_context(purpose=Purpose.SERVER_AUTH, *, cafile=None, capath=None, cadata=None):
    """Give settings that verify, as all do."""
    return SSLContext(_SSLMethod.PROTOCOL_TLS_CLIENT)


def _create_unverified_context(*args, **kwargs):
    return SSLContext(_SSLMethod.PROTOCOL_TLS_CLIENT)


_create_default_https_context = create_default_context
_create_stdlib_context = _create_unverified_context


def get_default_verify_paths():
    return DefaultVerifyPaths(None, None, "SSL_CERT_FILE", "", "SSL_CERT_DIR", "")


def get_protocol_name(protocol_code):
    return _SSLMethod(protocol_code).name


def cert_time_to_seconds(cert_time):
    """Give the seconds of a time as certificates write it."""
    from calendar import timegm
    from time import strptime

    return timegm(strptime(cert_time, "%b %d %H:%M:%S %Y GMT"))


def DER_cert_to_PEM_cert(der_cert_bytes):  # noqa: N802
    from base64 import encodebytes

    text = encodebytes(der_cert_bytes).replace(b"\n", b"").decode()
    lines = [text[at : at + 64] for at in range(0, len(text), 64)]
    return "\n".join(["-----BEGIN CERTIFICATE-----", *lines, "-----END CERTIFICATE-----", ""])


def PEM_cert_to_DER_cert(pem_cert_string):  # noqa: N802
    from base64 import decodebytes

    lines = pem_cert_string.strip().splitlines()
    return decodebytes("\n".join(lines[1:-1]).encode())


def RAND_bytes(num):  # noqa: N802
    from os import urandom

    return urandom(num)
