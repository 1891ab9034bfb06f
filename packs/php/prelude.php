<?php
// What a command line has, and php-cgi has not.
foreach (filesize('/.settings.ini') ? @parse_ini_file('/.settings.ini') ?: [] : [] as $name => $value) {
    @ini_set($name, $value);
}
unset($name, $value);
if (!isset($_SERVER['GATEWAY_INTERFACE'])) {
    define('STDIN', fopen('php://stdin', 'r'));
    define('STDOUT', fopen('php://stdout', 'w'));
    define('STDERR', fopen('php://stderr', 'w'));
}
