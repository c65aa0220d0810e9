/**
 * A certificate that this machine's tests trust and nobody else does, for `localhost`, and its key: they protect nothing.
 * Made by `openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 36500 -subj /CN=localhost
 * -addext subjectAltName=DNS:localhost`.
 */
export const certificate = {
  cert: `-----BEGIN CERTIFICATE-----
MIIBlTCCATugAwIBAgIUCaoLLVkL2y943IcekeJ/bLfFIEkwCgYIKoZIzj0EAwIw
FDESMBAGA1UEAwwJbG9jYWxob3N0MCAXDTI2MTEyMzE5MTI1NVoYDzIxMjYxMDMw
MTkxMjU1WjAUMRIwEAYDVQQDDAlsb2NhbGhvc3QwWTATBgcqhkjOPQIBBggqhkjO
PQMBBwNCAAR39tEk4dIKrCe6+w6TzwWDvMZS2Me7nU0KQ2tfwV9tp++9AFDXU4wc
MI7jQbU68girIFC0rAquIDrdRycrUBOWo2kwZzAdBgNVHQ4EFgQUjg4lsK8oAw/E
8i7xoCvZ0jfOBI4wHwYDVR0jBBgwFoAUjg4lsK8oAw/E8i7xoCvZ0jfOBI4wDwYD
VR0TAQH/BAUwAwEB/zAUBgNVHREEDTALgglsb2NhbGhvc3QwCgYIKoZIzj0EAwID
SAAwRQIgECGISgoETu3sMZN7/dbFLUGiw9AlM7vr518uFAwceD8CIQCEZ5hkxVhz
C23U+Ktzvo+OmdVD86WteEoCX+mcrBkCMQ==
-----END CERTIFICATE-----`,
  key: `-----BEGIN PRIVATE KEY-----
MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgF5XqP7rbbQjjvPyS
XYwJXQXsTuJkacRXJt5iCLotMmWhRANCAAR39tEk4dIKrCe6+w6TzwWDvMZS2Me7
nU0KQ2tfwV9tp++9AFDXU4wcMI7jQbU68girIFC0rAquIDrdRycrUBOW
-----END PRIVATE KEY-----`,
}
