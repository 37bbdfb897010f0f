#!/bin/bash
# Monitor service uptime
RESPONSE=$(curl -s -H "x-api-key: $API_KEY" http://localhost:3456/status)
if [ $? -ne 0 ]; then
  alert "CCProxy is down"
  exit 1
fi

UPTIME=$(echo "$RESPONSE" | jq -r '.uptime')
echo "CCProxy uptime: $UPTIME"
