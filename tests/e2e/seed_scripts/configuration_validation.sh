#!/bin/bash
# Verify expected configuration
CONFIG=$(curl -s -H "x-api-key: $API_KEY" http://localhost:3456/status)

# Check if API key is configured
API_KEY_SET=$(echo "$CONFIG" | jq -r '.api_key_configured')
if [ "$API_KEY_SET" != "true" ]; then
  echo "WARNING: API key not configured"
fi

# Check provider count
PROVIDER_COUNT=$(echo "$CONFIG" | jq -r '.providers.count')
if [ "$PROVIDER_COUNT" -eq 0 ]; then
  echo "ERROR: No providers configured"
  exit 1
fi
