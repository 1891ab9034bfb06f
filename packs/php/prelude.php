<?php
// What a command line has, and php-cgi has not.
if (!isset($_SERVER['GATEWAY_INTERFACE'])) {
    define('STDIN', fopen('php://stdin', 'r'));
    define('STDOUT', fopen('php://stdout', 'w'));
    define('STDERR', fopen('php://stderr', 'w'));
}
