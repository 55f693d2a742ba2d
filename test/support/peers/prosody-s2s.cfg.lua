-- Prosody as a server of another domain, on loopback for tests.
run_as_root = true
daemonize = false
pidfile = "@FOLDER@/prosody.pid"
data_path = "@FOLDER@/data"
plugin_paths = { "@PLUGINS@" }
interfaces = { "127.0.0.1" }
local_interfaces = { "127.0.0.1" }
c2s_ports = { @C2S_PORT@ }
s2s_ports = { @S2S_PORT@ }
s2s_direct_tls_ports = { @S2S_TLS_PORT@ }
c2s_require_encryption = false
allow_unencrypted_plain_auth = true
authentication = "internal_plain"
storage = "internal"
s2s_require_encryption = @REQUIRE_ENCRYPTION@
s2s_secure_auth = @SECURE_AUTH@
modules_enabled = { "roster"; "saslauth"; "disco"; "presence"; "message"; "iq"; "offline"; "ping"; "private"; "vcard4"; "pep"; "dialback"; "test_routes"; "test_plain_clients"; @MODULES@ }
modules_disabled = { "limits"; "http"; "posix_limits"; @DISABLED@ }
test_routes = @ROUTES@
@TLS@
log = { { levels = { min = "info" }, to = "console" } }

VirtualHost "@DOMAIN@"
