"""What is wrong between here and a peer, said precisely; gRPC says UNAVAILABLE to all of it (``tiergate doctor``)."""

from __future__ import annotations

import asyncio
import ssl
from datetime import UTC, datetime

from cryptography import x509

from gateway.domain.directory import Endpoint
from gateway.domain.ids import PeerIdentity
from gateway.errors import Reason, TiergateError
from gateway.transport.tls import CertificateFacts, CertificateFiles, facts_of

# HTTP/2 connection preface and an empty SETTINGS frame (RFC 9113, sections 3.4 and 6.5)
_HELLO = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes.fromhex("000000040000000000")
_EXPIRED, _NOT_YET, _HOSTNAME = 10, 9, 62  # X509_V_ERR_* of OpenSSL's x509_vfy.h


async def probe_peer(
    endpoint: Endpoint, files: CertificateFiles, identity: PeerIdentity, *, timeout_s: float = 5.0
) -> CertificateFacts:
    """Connect as a channel would, and return what the peer's certificate says.

    Raises PEER_UNREACHABLE (nobody answers in time, or not in TLS), PEER_WRONG (the certificate is of an unknown
    authority, or lacks the directory's name or ``identity``), CERTIFICATE_INVALID (the peer's has expired or is not yet
    valid, which may be our clock; or the peer refuses ours); ``detail`` says which, and is fit to be shown.
    """
    files.read()  # a fault in our own files is raised as such, not as the peer's
    context = ssl.create_default_context(cafile=str(files.ca))
    context.load_cert_chain(files.cert, files.key)
    context.set_alpn_protocols(["h2"])
    host, _, port = endpoint.address.rpartition(":")
    try:
        async with asyncio.timeout(timeout_s):
            reader, writer = await asyncio.open_connection(
                host.strip("[]"), int(port), ssl=context, server_hostname=endpoint.server_name
            )
            try:
                writer.write(_HELLO)
                # in TLS 1.3 the server judges our certificate after we are done: only its first words tell
                if not await reader.read(1):
                    raise TiergateError(Reason.CERTIFICATE_INVALID, "the peer closes the connection: our certificate?")
                found = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
            finally:
                writer.close()
    except ssl.SSLCertVerificationError as error:
        raise _refused_by_us(error, endpoint) from error
    except ssl.SSLError as error:
        raise _refused_by_peer(error) from error
    except TimeoutError as error:
        raise TiergateError(Reason.PEER_UNREACHABLE, f"no answer at {endpoint.address} in {timeout_s:g} s") from error
    except (OSError, ValueError) as error:
        kind = type(error).__name__
        raise TiergateError(Reason.PEER_UNREACHABLE, f"no connection to {endpoint.address} ({kind})") from error
    facts = facts_of(x509.load_der_x509_certificate(found))
    if facts.uris != (identity.uri,):
        raise TiergateError(Reason.PEER_WRONG, f"the certificate's URI is not {identity.uri}")
    return facts


def _refused_by_us(error: ssl.SSLCertVerificationError, endpoint: Endpoint) -> TiergateError:
    now = datetime.now(UTC).isoformat(timespec="seconds")
    match error.verify_code:
        case code if code == _EXPIRED:
            return TiergateError(Reason.CERTIFICATE_INVALID, f"the peer's certificate has expired (here it is {now})")
        case code if code == _NOT_YET:
            return TiergateError(
                Reason.CERTIFICATE_INVALID, f"the peer's certificate is not valid yet (here it is {now})"
            )
        case code if code == _HOSTNAME:
            return TiergateError(Reason.PEER_WRONG, f"the certificate does not name {endpoint.server_name}")
        case _:
            return TiergateError(Reason.PEER_WRONG, "the certificate is not of an authority that we trust")


def _refused_by_peer(error: ssl.SSLError) -> TiergateError:
    """An alert from the peer is about our certificate; anything else is no TLS."""
    if error.reason and "ALERT" in error.reason:
        return TiergateError(Reason.CERTIFICATE_INVALID, f"the peer refuses our certificate ({error.reason})")
    return TiergateError(Reason.PEER_UNREACHABLE, "what answers there does not speak TLS")
