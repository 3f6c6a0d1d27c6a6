"""A gateway that serves the files of a directory over mutual TLS: what docs/verifiers/java8 is tested against.

usage: gateway.py DIR. DIR holds ca.pem, server.pem, server.key, N.manifest.json and N.payload. Prints its port.
"""

import http.server
import json
import os
import ssl
import sys
import urllib.parse

DIRECTORY = sys.argv[1]


class Gateway(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        url = urllib.parse.urlsplit(self.path)
        parts = url.path.strip("/").split("/")
        if len(parts) == 4 and parts[3] == "batches":
            query = urllib.parse.parse_qs(url.query)
            first, limit = int(query["after"][0]) + 1, int(query["limit"][0])
            batches = []
            while len(batches) < limit and self.exists(first + len(batches)):
                name = "%d.manifest.json" % (first + len(batches))
                batches.append({"manifest": json.loads(read(name)), "proof": "c2sp.org/tlog-proof@v1\n"})
            more = self.exists(first + len(batches))
            self.answer(200, json.dumps({"stream": parts[2], "batches": batches, "more": more}).encode())
        elif len(parts) == 6 and parts[5] == "payload":
            self.answer(200, read("%d.payload" % int(parts[4])))
        else:
            self.answer(404, b"{}")

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        with open(os.path.join(DIRECTORY, "%d.ack" % json.loads(body)["seq"]), "wb") as file:
            file.write(body)
        self.answer(200, b"{}")

    def answer(self, status, body):
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    @staticmethod
    def exists(seq):
        return os.path.exists(os.path.join(DIRECTORY, "%d.manifest.json" % seq))

    def log_message(self, *_):
        pass


def read(name):
    with open(os.path.join(DIRECTORY, name), "rb") as file:
        return file.read()


server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Gateway)
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain(os.path.join(DIRECTORY, "server.pem"), os.path.join(DIRECTORY, "server.key"))
context.load_verify_locations(os.path.join(DIRECTORY, "ca.pem"))
context.verify_mode = ssl.CERT_REQUIRED
server.socket = context.wrap_socket(server.socket, server_side=True)
print(server.server_address[1], flush=True)
server.serve_forever()
