"""Parses OTLP/JSON from standard input with the official protobuf schema, strictly, and prints it back as JSON.

A line is `traces` or `logs`, a tab, and one export request. Unknown fields, wrong types and enum values are errors.
OTLP/JSON differs from protobuf's own JSON in one point: ids are hex, not base64; they are converted first.
"""
import base64
import json
import sys

from google.protobuf import json_format
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

IDS = {"traceId": 16, "spanId": 8, "parentSpanId": 8}


def with_base64_ids(value):
    if isinstance(value, list):
        return [with_base64_ids(item) for item in value]
    if not isinstance(value, dict):
        return value
    converted = {}
    for key, item in value.items():
        if key in IDS:
            raw = bytes.fromhex(item)
            assert len(raw) == IDS[key] and any(raw), key
            item = base64.b64encode(raw).decode()
        converted[key] = with_base64_ids(item)
    return converted


for line in sys.stdin.buffer:
    signal, payload = line.decode("utf-8", "strict").rstrip("\n").split("\t", 1)
    message = ExportTraceServiceRequest() if signal == "traces" else ExportLogsServiceRequest()
    json_format.ParseDict(with_base64_ids(json.loads(payload)), message, ignore_unknown_fields=False)
    message.SerializeToString()
    print(json_format.MessageToJson(message, indent=None))
