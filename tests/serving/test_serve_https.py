"""Is the same served over https, with a certificate of one's own?"""

import re
import ssl
import subprocess
import sys
from pathlib import Path

import httpx
import pytest
from servers import encode, make_classifier, share

# Made for this test and of no other use: openssl req -x509 -newkey ec -nodes -subj /CN=localhost -days 36500.
CERTIFICATE = """-----BEGIN CERTIFICATE-----
MIIBmzCCAUGgAwIBAgIUGjHqPqdTu1GKYo4SukLRzUh9lOswCgYIKoZIzj0EAwIw
FDESMBAGA1UEAwwJbG9jYWxob3N0MCAXDTI2MTEyOTAwNTYzMVoYDzIxMjYxMTA1
MDA1NjMxWjAUMRIwEAYDVQQDDAlsb2NhbGhvc3QwWTATBgcqhkjOPQIBBggqhkjO
PQMBBwNCAASTOHBsaDo523AL0OPwQoTdjS1dRsWy58kc/tF+IFwfgsI1NcBPUjTV
7oxiYIwS9dN2UKfxKqAPxh5lNhiKZDfDo28wbTAdBgNVHQ4EFgQUQNyrTvGro+2k
9lYadH9FL0IvD50wHwYDVR0jBBgwFoAUQNyrTvGro+2k9lYadH9FL0IvD50wDwYD
VR0TAQH/BAUwAwEB/zAaBgNVHREEEzARgglsb2NhbGhvc3SHBH8AAAEwCgYIKoZI
zj0EAwIDSAAwRQIhAO5AKnNnsJlVrxGLgGsQkSW64LkLa/o7BZzYgiMro44qAiAi
PPEUVSArZmVrY+9JFbodDJmAMv7w6TX1UuTDZ2u+0w==
-----END CERTIFICATE-----
"""
KEY = """-----BEGIN PRIVATE KEY-----
MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQg67lNPzJmJGh301N+
55YVr83VCSJHbL59zf65ZwrzfgShRANCAASTOHBsaDo523AL0OPwQoTdjS1dRsWy
58kc/tF+IFwfgsI1NcBPUjTV7oxiYIwS9dN2UKfxKqAPxh5lNhiKZDfD
-----END PRIVATE KEY-----
"""


def test_https(tmp_path: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    bundle = share(tmp_path_factory, "classifier", make_classifier)
    (tmp_path / "certificate.pem").write_text(CERTIFICATE)
    (tmp_path / "key.pem").write_text(KEY)
    command = [
        sys.executable, "-m", "rapidnet", "serve", str(bundle), "--port", "0", "--tls-certificate",
        str(tmp_path / "certificate.pem"), "--tls-key", str(tmp_path / "key.pem"),
    ]  # fmt: skip
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr
        try:
            found = re.search(r"serving at (https://127\.0\.0\.1:\d+);", process.stderr.readline())
            assert found
            trusting = ssl.create_default_context()
            # Its dates are of no interest here: the clocks of test machines may stand anywhere.
            trusting.check_hostname, trusting.verify_mode = False, ssl.CERT_NONE
            with httpx.Client(verify=trusting, base_url=found[1], timeout=20) as client:
                kind = {"content-type": "image/png"}
                response = client.post("/v1/predict", content=encode(), headers=kind)
                assert response.status_code == 200 and len(response.json()["results"]) == 1
            with pytest.raises(httpx.HTTPError):
                httpx.get(found[1].replace("https", "http"))
            with pytest.raises(httpx.ConnectError):
                httpx.get(found[1])
        finally:
            process.terminate()
