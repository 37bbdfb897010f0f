# Check CCProxy version
VERSION=$(curl -s http://localhost:3456/status | jq -r '.version')
echo "CCProxy version: $VERSION"
