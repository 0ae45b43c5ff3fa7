<?php
// An API provider that answers with the headers of its request as PHP reads them.
header('Content-Type: application/json');
$isHeader = fn(string $name): bool => str_starts_with($name, 'HTTP_');
echo json_encode(array_filter($_SERVER, $isHeader, ARRAY_FILTER_USE_KEY), JSON_INVALID_UTF8_SUBSTITUTE);
