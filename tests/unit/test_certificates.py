"""Certificate and key: what cannot be used is named before anything is started."""

import pytest

from tests.certificates import make
from weave_ryu import certificates, config
from weave_ryu.errors import ConfigError


@pytest.fixture(scope="module")
def pair(tmp_path_factory):
    return make(tmp_path_factory.mktemp("tls"))


@pytest.fixture(scope="module")
def other(tmp_path_factory):
    return make(tmp_path_factory.mktemp("other"))


def load(certificate, key):
    return config.load(None, {"api_cert_file": str(certificate), "api_key_file": str(key)}, {})


def refused(certificate, key):
    with pytest.raises(ConfigError) as caught:
        load(certificate, key)
    assert str(caught.value.value) in (str(certificate), str(key))
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_pair_is_taken(pair):
    loaded = load(*pair)
    assert loaded.api_cert_file == str(pair[0])
    assert config.tls_context(loaded) is not None
    assert config.tls_context(config.DaemonConfig()) is None


@pytest.mark.parametrize("key", ["api_cert_file", "api_key_file"])
def test_one_without_the_other_is_refused_by_name(pair, key):
    with pytest.raises(ConfigError, match=r"HTTPS needs --api-(key|cert)-file, too") as caught:
        config.load(None, {key: str(pair[0])}, {})
    assert caught.value.key == f"--{key.replace('_', '-')}"


def test_keys_of_the_file_are_named_as_they_stand_there(pair, tmp_path):
    file = tmp_path / "weave-ryu.toml"
    file.write_text(f'api_cert_file = "{pair[0]}"\napi_key_file = "/no/such/key"\n')
    with pytest.raises(ConfigError, match=f"`api_key_file` in {file} '/no/such/key': cannot be"):
        config.load(str(file), {}, {})


def test_files_of_the_wrong_kind_are_named(pair, other, tmp_path):
    certificate, key = pair
    assert "--api-cert-file" in refused(tmp_path / "none", key)
    assert "--api-key-file" in refused(certificate, tmp_path)
    assert "holds no certificate" in refused(key, key)
    assert "holds no private key" in refused(certificate, certificate)
    assert "is not the key of the certificate" in refused(certificate, other[1])


def test_key_that_all_can_read_is_refused(pair, tmp_path):
    copy = tmp_path / "key"
    copy.write_bytes(pair[1].read_bytes())
    copy.chmod(0o644)
    assert "chmod o=" in refused(pair[0], copy)


@pytest.mark.parametrize("head", ["ENCRYPTED PRIVATE KEY", "EC PRIVATE KEY"])
def test_encrypted_key_is_refused_without_asking_the_terminal(pair, tmp_path, head):
    key = tmp_path / "key"
    key.write_text(f"-----BEGIN {head}-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: AES-128-CBC,00\n")
    key.chmod(0o600)
    assert "passphrase" in refused(pair[0], key)


@pytest.mark.parametrize("damaged", [0, 1])
def test_damaged_file_is_refused(pair, tmp_path, damaged):
    files = [tmp_path / path.name for path in pair]
    for number, (copy, path) in enumerate(zip(files, pair, strict=True)):
        text = path.read_text()
        copy.write_text(text.replace("\nM", "\n!", 1) if number == damaged else text)
        copy.chmod(0o600)
    assert "cannot be used" in refused(*files)


@pytest.mark.parametrize("content", ["", "x", "-----BEGIN CERTIFICATE-----\nAAAA\n"])
def test_authority_that_is_none_is_refused(tmp_path, content):
    path = tmp_path / "ca"
    path.write_text(content)
    with pytest.raises(ConfigError, match="--api-ca-file"):
        certificates.client_context("--api-ca-file", str(path))
    with pytest.raises(ConfigError, match="cannot be read"):
        certificates.client_context("--api-ca-file", str(tmp_path / "none"))
