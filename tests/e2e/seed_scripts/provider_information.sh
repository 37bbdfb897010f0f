# Get active providers
PROVIDERS=$(curl -s -H "x-api-key: $API_KEY" http://localhost:3456/status | 
  jq -r '.providers.active[]')
echo "Active providers: $PROVIDERS"
