"""Print where the gateway is, and the key and the token that its secrets hold.

python keys.py FOLDER URL ADMIN_URL
"""

import sys
from pathlib import Path

TEXT = """
ModelHive is up.

  Base URL      {url}/v1
  API key       {key}
  Admin API     {admin_url}/api/admin
  Admin token   {token}

  curl {url}/v1/chat/completions \\
    -H "Authorization: Bearer {key}" -H "Content-Type: application/json" \\
    -d '{{"model": "local/smollm2-135m", "max_tokens": 80,
         "messages": [{{"role": "user", "content": "What is a bee?"}}]}}'
"""


def main(folder: Path, url: str, admin_url: str) -> None:
    key, token = ((folder / f"hive_{name}").read_text() for name in ("bootstrap_key", "admin_token"))
    sys.stdout.write(TEXT.format(url=url, admin_url=admin_url, key=key, token=token))


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], sys.argv[3])
